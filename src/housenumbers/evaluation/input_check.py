"""Checks the input of a trained model: type, shape, and the scale of floats."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from housenumbers.models.normalize import check_image_tensor
from housenumbers.runtime.errors import InputError

_ROUNDING = 0.5  # the tolerance: conversion to bytes removes it


_ON_UNIT_RANGE = 2.0  # resizing by bicubic interpolation takes values from 0..1 to 1.2 or so


def register_input_check(model: nn.Module) -> None:
    """Makes each call of the model raise InputError for invalid images: see `check_images`."""
    model.register_forward_pre_hook(_check_call, with_kwargs=True)


def check_images(images: Tensor) -> None:
    """Raises InputError where these are not images, or floats on another scale than 0..255.

    Checks the pixels of floats only, since uint8 is on the right scale.
    """
    try:
        check_image_tensor(images)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None
    if not images.is_floating_point() or not images.numel():
        return
    low, high = (float(bound) for bound in images.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError("images: hold values that are no finite numbers")
    if not (low >= -_ROUNDING and high <= 255 + _ROUNDING):
        raise InputError(f"images: floats must lie on 0..255, not {low:.4g}..{high:.4g}: undo their normalization")
    if 0 < high <= _ON_UNIT_RANGE:
        raise InputError(f"images: floats must lie on 0..255, not {low:.4g}..{high:.4g}: multiply them by 255")


def _check_call(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    if not torch.compiler.is_compiling():  # an exported program checks its input itself
        for images in [*args, *named.values()][:1]:
            check_images(images)
