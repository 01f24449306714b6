"""Checks of shapes and labels in MATLAB files, which have to be in SVHN's format. Does not import torch."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from housenumbers.data.mat_format import ELSE, HOW_TO_SAVE, check_mat_format
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural

_SMALL = 1_000_000  # bytes
_KINDS = {"double": "float64", "single": "float32"}  # MATLAB's names of NumPy's types


def check_mat_contents(path: Path) -> None:
    """Raises UserError where `read_mat` would, except for the values of `X` in uint8 and damage in its bytes.

    Reads the headers of all variables, and `y`: some milliseconds for files of any size. Of X it reads other types than
    uint8, and uint8 of up to a megabyte.
    """
    check_mat_format(path)
    kind, shape = _headers(path)["X"]
    checked_labels(path, read_variables(path, "y")["y"], count_images(path, _KINDS.get(kind, kind), shape))
    if kind != "uint8" or path.stat().st_size <= _SMALL:
        checked_pixels(path, read_variables(path, "X")["X"])


def read_variables(path: Path, *names: str) -> dict[str, Any]:
    """The variables `names` of a file with X and y. Raises UserError where it is damaged or does not hold these."""
    import scipy.io  # imported here: a cached start does not need these 0.2 s

    _headers(path)
    try:
        content: dict[str, Any] = scipy.io.loadmat(path, variable_names=names)
    except Exception as error:  # scipy's parser raises many types on damaged bytes
        raise _damaged(path, error) from None
    return content


def _headers(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The type and the shape of each variable. Raises UserError where the file is damaged, or has no X and y."""
    import scipy.io

    try:
        headers = {name: (kind, shape) for name, shape, kind in scipy.io.whosmat(path)}
        if not headers.keys() >= {"X", "y"}:
            scipy.io.loadmat(path)  # fails for a file that was cut off within X
    except Exception as error:
        raise _damaged(path, error) from None
    if not headers.keys() >= {"X", "y"}:
        found = ", ".join(f"{name} ({kind} {list(shape)})" for name, (kind, shape) in headers.items()) or "nothing"
        raise UserError(f"{path}: has no variables X and y, but {found}: {HOW_TO_SAVE}; {ELSE}")
    return headers


def count_images(path: Path, kind: str, shape: tuple[int, ...]) -> int:
    """The number of images in X, of this type and shape. Raises UserError where it is not `[32, 32, 3, N]`.

    `[32, 32, 3]` is one image, because MATLAB drops a last axis of length one.
    """
    if shape[:3] != (32, 32, 3) or len(shape) > 4:
        described = f"X is {kind} {list(shape)} instead of uint8 [32, 32, 3, N]"
        raise UserError(f"{path}: {described}: {_permutation(shape)}{ELSE}")
    count = shape[3] if len(shape) == 4 else 1
    if count == 0:
        raise UserError(f"{path}: holds no images: {ELSE}")
    return count


def checked_labels(path: Path, array: Any, count: int) -> NDArray[np.int64]:
    """y as int64 `[N]` in 1..10."""
    if not isinstance(array, np.ndarray) or not is_whole(array):
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise UserError(f"{path}: y holds {kind} instead of whole numbers from 1 to 10: {HOW_TO_SAVE}")
    if array.size != count:
        counts = f"{plural(count, 'image')} but {plural(array.size, 'label')}"
        raise UserError(f"{path}: {counts}, y being {list(array.shape)}: {ELSE}")
    low, high = array.min(), array.max()
    if low == 0 and high <= 9:
        raise UserError(
            f"{path}: labels from 0 to {high:g} instead of 1 to 10, where 10 stands for the digit 0: "
            "y(y == 0) = 10 if they are the digits, y = y + 1 if 9 stands for the digit 0"
        )
    if low < 1 or high > 10:
        raise UserError(f"{path}: labels from {low:g} to {high:g}, outside 1..10 (10 stands for the digit 0): {ELSE}")
    return array.ravel().astype(np.int64)


def checked_pixels(path: Path, array: Any) -> NDArray[np.uint8]:
    """X as uint8 `[32, 32, 3, N]`. Whole numbers from 0 to 255 are pixels in any type."""
    if not isinstance(array, np.ndarray):  # a sparse matrix, or one of MATLAB's objects
        raise UserError(
            f"{path}: X is a {type(array).__name__} instead of an array uint8 [32, 32, 3, N]: {HOW_TO_SAVE}"
        )
    count_images(path, str(array.dtype), array.shape)
    if fault := _fault_of_pixels(array):
        raise UserError(f"{path}: X is {array.dtype} {list(array.shape)} instead of uint8 [32, 32, 3, N], {fault}")
    return (array[..., None] if array.ndim == 3 else array).astype(np.uint8, copy=False)


def _fault_of_pixels(array: NDArray[Any]) -> str:
    """The fault in the values of X, and its remedy. Empty where they are whole numbers from 0 to 255."""
    if array.dtype.kind == "c":
        return "of complex numbers, not of whole numbers up to 255: X = uint8(real(X)) if the imaginary parts are 0"
    if array.dtype.kind not in "iuf":
        return f"and not of whole numbers up to 255: {HOW_TO_SAVE}"
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "with values that are no finite numbers: replace them, X(~isfinite(X)) = 0"
    low, high = array.min(), array.max()
    if low >= 0 and high <= 1 and (low < high or array.dtype != np.uint8):  # only 0 and 1 may mean black and white
        return f"on {low:g}..{high:g}, and not of whole numbers up to 255: X = uint8(255 * X) if white is 1"
    if low < 0 or high > 255:
        return f"on {low:g}..{high:g}, and not of whole numbers up to 255: scale them to 0..255"
    return "" if is_whole(array) else "with fractions, and not of whole numbers up to 255: X = uint8(X) rounds them"


def is_whole(array: NDArray[Any]) -> bool:
    if array.dtype.kind in "iu":
        return True
    return array.dtype.kind == "f" and bool(np.isfinite(array).all()) and bool((array == np.floor(array)).all())


def _permutation(shape: tuple[int, ...]) -> str:
    """Part of a message: how to reorder the axes in MATLAB. Empty where the axes are ambiguous."""
    threes, sides = ([axis for axis, length in enumerate(shape) if length == side] for side in (3, 32))
    if len(shape) != 4 or len(threes) != 1 or len(sides) != 2:
        return ""
    (number,) = set(range(4)) - {*threes, *sides}
    order = " ".join(str(axis + 1) for axis in (*sides, *threes, number))
    return f"X = permute(X, [{order}]) puts its axes in order; "


def _damaged(path: Path, error: Exception) -> UserError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return UserError(f"{path}: damaged, or no MATLAB file ({reason}): fetch it again")
