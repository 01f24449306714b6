"""Where the tensors are: the CPU, or the accelerator that the configuration asks for. Loads torch only when asked."""

from typing import TYPE_CHECKING

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.signals import deferred_signals
from housenumbers.runtime.text import plural

if TYPE_CHECKING:
    import torch


def choose_device(wanted: str) -> "torch.device":
    """The device that `wanted` names; `auto` is CUDA, else MPS, else the CPU.

    Raises UserError where this machine has no such device.
    """
    with deferred_signals():  # torn while it loads NumPy, torch would go on with half of it
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
