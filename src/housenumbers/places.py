"""What a run needs to find where it happens, checked before anything is made or a heavy library loaded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from housenumbers import processes
from housenumbers.errors import UserError
from housenumbers.interrupts import undisturbed
from housenumbers.messages import plural
from housenumbers.sections import DataConfig

if TYPE_CHECKING:
    import torch


def check_places(data: DataConfig, pretrained: Any, device: str) -> None:
    """Raises UserError where files that the configuration names are not there, or the device is not.

    What is in the files is seen later, as is whether a missing one can be downloaded. `pretrained` is the model's.
    """
    root = Path(data.root)
    if data.name == "folder" and not root.is_dir():
        raise UserError(f"data.root={root}: no such folder: name the one that holds your pictures")
    if data.name == "svhn" and not data.download:
        parts = {"false": ["train"], "true": ["train", "extra"], "only": ["extra"]}[data.use_extra]
        for file in (root / f"{part}_32x32.mat" for part in [*parts, "test"]):
            if not file.exists():
                raise UserError(f"{file}: no such file: set data.root to its folder, or data.download=true")
    if data.name == "synthetic" and data.fonts not in ("", "matplotlib", "system") and not Path(data.fonts).exists():
        raise UserError(f"data.fonts={data.fonts}: no such folder: name one with fonts, or matplotlib or system")
    if isinstance(pretrained, str):
        run = pretrained.startswith("run:")
        file = Path(pretrained.removeprefix("run:")) / "checkpoints" / "best.pt" if run else Path(pretrained)
        if not file.exists():
            raise UserError(f"model.pretrained={pretrained}: {file}: no such checkpoint")
    if device.startswith(("cuda", "mps")) and processes.world_size() == 1:
        choose_device(device)


def choose_device(wanted: str) -> "torch.device":
    """The device that `wanted` names; `auto` is CUDA, else MPS, else the CPU.

    Raises UserError where this machine has no such device.
    """
    with undisturbed():  # torn while it loads NumPy, torch would go on with half of it
        import torch

    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        has = plural(torch.cuda.device_count(), "CUDA device")
        raise UserError(f"device={wanted}: this machine has {has}: use device=auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device=mps: this machine has no MPS device: use device=auto")
    return device
