"""Checks the input of a trained model: type, shape, and the scale of floats."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from housenumbers.models.normalize import check_image_tensor
from housenumbers.runtime.errors import InputError

_ROUNDING = 0.5  # the tolerance: conversion to bytes removes it
_NARROWEST = 3.5  # pixels, rounded to the four of a place

_ON_UNIT_RANGE = 2.0  # resizing by bicubic interpolation takes values from 0..1 to 1.2 or so


def register_input_check(model: nn.Module) -> None:
    """Makes each call of the model raise InputError for invalid images: see `check_images`."""
    model.register_forward_pre_hook(_check_call, with_kwargs=True)


_checked: ContextVar[bool] = ContextVar("checked", default=False)


@contextmanager
def skip_input_check() -> Iterator[None]:
    """Inside the block, models do not check their images: the caller has checked all images at once before."""
    token = _checked.set(True)
    try:
        yield
    finally:
        _checked.reset(token)


def check_images(images: Tensor, may_be_dark: bool = False) -> None:
    """Raises InputError where these are not images, or on another scale than 0..255.

    uint8 images that hold zeros and ones only are taken for floats on 0..1 that were cast, unless they `may_be_dark`.
    """
    try:
        check_image_tensor(images)
    except (TypeError, ValueError) as error:
        raise InputError(str(error)) from None
    if not images.numel() or (may_be_dark and not images.is_floating_point()):
        return
    low, high = (float(bound) for bound in images.aminmax())
    if not images.is_floating_point():
        if low < high <= 1:
            raise InputError("images: uint8 must lie on 0..255, not 0..1: multiply the floats by 255 before the cast")
        return
    if not (math.isfinite(low) and math.isfinite(high)):
        raise InputError("images: hold values that are no finite numbers")
    if not (low >= -_ROUNDING and high <= 255 + _ROUNDING):
        raise InputError(f"images: floats must lie on 0..255, not {low:.4g}..{high:.4g}: undo their normalization")
    if 0 < high <= _ON_UNIT_RANGE:
        raise InputError(f"images: floats must lie on 0..255, not {low:.4g}..{high:.4g}: multiply them by 255")


def check_width(images: Tensor, height: int) -> None:
    """Raises InputError where images `[N, 3, H, W]`, scaled to this height, are too narrow for a reader's one place."""
    least = math.ceil(_NARROWEST * images.shape[2] / height)
    if images.shape[3] < least:
        raise InputError(f"images: must be {least} pixels wide or more, not {images.shape[3]}: continue their border")


def _check_call(_: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    # An exported program checks its input itself.
    if not torch.compiler.is_compiling() and not _checked.get():
        for images in [*args, *named.values()][:1]:
            check_images(images)
