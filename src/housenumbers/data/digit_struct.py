"""Reads SVHN's `digitStruct.mat`: the boxes of the digits in a folder of photos. Needs h5py."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.installation import pip_install

_FIELDS = (b"left", b"top", b"width", b"height", b"label")
_LARGEST = 2**53  # the first float that stands for several integers


class DigitStruct(NamedTuple):
    names: list[str]  # of the photos' files, in the file's order
    boxes: NDArray[np.int64]  # [N, 6], a row for each digit: photo (from 1), left, top, width, height, label (0 to 9)


def read_digit_struct(path: Path) -> DigitStruct:
    """The content of a file, of 33,402 photos in half a minute. Shows a progress bar.

    MATLAB 7.3's layout: the photo's name as characters, and one group for each photo, whose fields hold the value of
    its only digit, or else references to one value for each. Uses h5py's low-level calls with
    explicit types: its objects, and the types that it derives, take minutes for hundreds of thousands of values.

    Raises UserError where the file is not such a file, or h5py is not installed.
    """
    with _opened(path) as (file, names, boxes):
        rows: list[tuple[float, ...]] = []
        bar = tqdm(boxes, desc=f"reading {path.name}", unit="photo", leave=False, disable=None)
        for photo, reference in enumerate(bar, start=1):
            signals.exit_if_received()
            rows += [(photo, *digit) for digit in _digits(file, reference)]
        return DigitStruct([_text(file, reference) for reference in names], _as_boxes(rows))


def check_digit_struct(path: Path) -> None:
    """Raises UserError as `read_digit_struct` does, but leaves the photos' own entries to it: takes milliseconds."""
    with _opened(path):
        pass


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, list[Any], list[Any]]]:
    """The open file, and references to the name and to the boxes of each photo. Errors become UserError."""
    try:
        import h5py
    except ImportError:
        raise UserError(f"{path}: h5py, which reads it, is not installed: {pip_install('photos')}") from None
    try:
        with h5py.File(path, "r") as file:
            names, boxes = (
                _read_references(h5py.h5d.open(file.id, b"digitStruct/" + name)) for name in (b"name", b"bbox")
            )
            if len(names) != len(boxes):
                raise ValueError(f"{len(names)} names and {len(boxes)} photos")
            yield file.id, names, boxes
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not SVHN's digitStruct.mat, or damaged ({reason}): fetch it again") from None


def _digits(file: Any, photo: Any) -> list[tuple[float, ...]]:
    """left, top, width, height and label of each digit of a photo."""
    from h5py import h5d, h5r, h5s, h5t

    value, one = np.empty(1), h5s.create_simple((1,))  # the space of one value: HDF5 refuses to read several into it
    group = h5r.dereference(photo, file)
    columns = []
    for name in _FIELDS:
        field = h5d.open(group, name)
        values = [field] if field.shape == (1, 1) else [h5r.dereference(each, file) for each in _read_references(field)]
        column = []
        for dataset in values:
            dataset.read(one, h5s.ALL, value, h5t.NATIVE_DOUBLE)
            column.append(float(value[0]))
        columns.append(column)
    return list(zip(*columns, strict=True))


def _read_references(dataset: Any) -> list[Any]:
    import h5py

    references = np.empty(dataset.shape, h5py.ref_dtype)
    dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, references)
    return list(references.ravel())


def _text(file: Any, reference: Any) -> str:
    from h5py import h5r, h5s, h5t

    dataset = h5r.dereference(reference, file)
    letters = np.empty(dataset.shape, np.uint16)
    dataset.read(h5s.ALL, h5s.ALL, letters, h5t.NATIVE_UINT16)
    return "".join(map(chr, letters.ravel().tolist()))


def _as_boxes(rows: list[tuple[float, ...]]) -> NDArray[np.int64]:
    boxes = np.array(rows).reshape(-1, 6)
    if not (np.abs(boxes) < _LARGEST).all():  # nor nan
        raise ValueError("boxes that are no numbers of pixels")
    whole = boxes.round().astype(np.int64)
    whole[whole[:, 5] == 10, 5] = 0
    if (whole[:, 3:5] < 1).any() or not ((whole[:, 5] >= 0) & (whole[:, 5] <= 9)).all():
        raise ValueError("boxes without width or height, or labels outside 1..10")
    return whole
