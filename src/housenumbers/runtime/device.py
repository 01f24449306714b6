"""Chooses the device of tensors: the CPU, or the accelerator of the configuration. Imports torch only when called."""

from typing import TYPE_CHECKING

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.signals import deferred_signals
from housenumbers.runtime.text import plural

if TYPE_CHECKING:
    import torch


def choose_device(name: str) -> "torch.device":
    """The device that `name` names; `auto` is CUDA, else MPS, else the CPU.

    Raises UserError where this machine has no such device.
    """
    with deferred_signals():  # an interrupted import would leave torch with half of NumPy
        import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        available = plural(torch.cuda.device_count(), "CUDA device")
        raise UserError(f"device={name}: this machine has {available}: use device=auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("device=mps: this machine has no MPS device: use device=auto")
    return device
