"""Reads SVHN's `digitStruct.mat`, which say where the digits of a folder of photos are. Needs h5py."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from housenumbers.runtime.errors import UserError

_FIELDS = ("left", "top", "width", "height", "label")


def read_digit_struct(path: Path) -> NDArray[np.int64]:
    """A row for each digit, int64 `[N, 6]`: photo (from 1), left, top, width, height, label (0 to 9), in file order.

    MATLAB 7.3's layout: one group for each photo, whose fields hold the value of its only digit, or else references to
    one value for each. Low-level calls, because h5py's objects for each of hundreds of thousands of values take longer.

    Raises UserError where the file is not such a file, or h5py is not installed.
    """
    try:
        import h5py
    except ImportError:
        raise UserError("h5py: is not installed: pip install -e '.[photos]'") from None

    def value(dataset: "h5py.h5d.DatasetID") -> NDArray[np.float64]:
        content = np.empty(dataset.shape)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, content)
        return content.reshape(-1)

    def values(group: "h5py.h5g.GroupID", name: str) -> list[float]:
        dataset = h5py.h5d.open(group, name.encode())
        if dataset.get_type().get_class() != h5py.h5t.REFERENCE:
            return list(value(dataset))
        references = np.empty(dataset.shape, dtype=h5py.ref_dtype)
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, references)
        return [float(value(h5py.h5r.dereference(reference, group))[0]) for reference in references.reshape(-1)]

    rows: list[tuple[float, ...]] = []
    try:
        with h5py.File(path, "r") as file:
            for photo, reference in enumerate(file["digitStruct/bbox"][:].reshape(-1), start=1):
                group = h5py.h5r.dereference(reference, file.id)
                columns = [values(group, name) for name in _FIELDS]
                rows += [(photo, *row) for row in zip(*columns, strict=True)]
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: not SVHN's digitStruct.mat, or damaged ({reason}): fetch it again") from None
    boxes = np.array(rows).reshape(-1, 6).round().astype(np.int64)
    boxes[boxes[:, 5] == 10, 5] = 0
    return boxes
