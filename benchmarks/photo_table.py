"""Makes the table of photos and boxes in the package of SVHN's own files, and compares it with the one that is there.

`python benchmarks/photo_table.py --help` shows the options.
"""

import gzip
import hashlib
import io
import lzma
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import MISSING

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from housenumbers.config.command_line import parse
from housenumbers.data.digit_struct import read_digit_struct
from housenumbers.data.photos import Official, official_boxes
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.runtime.files import write_atomically


@dataclass
class Arguments:
    """Makes the table that says which photo every official crop comes from, and where in it.

    python benchmarks/photo_table.py source=FOLDER   compares the package's table with FOLDER's files

    source=FOLDER   train/digitStruct.mat and test/digitStruct.mat of SVHN's train.tar.gz and test.tar.gz (needs h5py),
                    or boxes_train.csv.gz and boxes_test.csv.gz: photo, left, top, width, height, label
    file=PATH       also writes a table of them there; src/housenumbers/data/photos.xz is the package's"""

    source: str = MISSING
    file: str | None = None


def rows(folder: Path, part: Official) -> NDArray[np.int64]:
    """Photo, left, top, width, height and label of each crop of the part, `[N, 6]`."""
    digit_struct, csv = folder / part / "digitStruct.mat", folder / f"boxes_{part}.csv.gz"
    if digit_struct.is_file():
        return read_digit_struct(digit_struct).boxes
    if csv.is_file():
        with gzip.open(csv, "rt") as file:
            return np.loadtxt(file, delimiter=",", skiprows=1, dtype=np.int64)
    raise UserError(f"source={folder}: has neither {digit_struct.relative_to(folder)} nor {csv.name}")


def write_table(path: Path, rows: dict[Official, NDArray[np.int64]]) -> str:
    """Writes the table of `rows` (`[N, 6]` for each part, in the order of Boxes) and returns its checksum."""
    content = io.BytesIO()
    for part in ("train", "test"):
        # The number of a photo as the difference from the one before: mostly 0, so that it takes few bytes.
        columns = np.ascontiguousarray(rows[part].T)
        columns[0] = np.diff(columns[0], prepend=0)
        np.save(content, columns.astype("<i2"), allow_pickle=False)
    compressed = lzma.compress(content.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    write_atomically(path, lambda file: file.write(compressed))
    return hashlib.sha256(content.getvalue()).hexdigest()


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        parts: dict[Official, NDArray[np.int64]] = {}
        for part in ("train", "test"):
            parts[part] = rows(Path(arguments.source), part)
            print(f"{part}: {len(parts[part]):,} crops of {len(np.unique(parts[part][:, 0])):,} photos")
        if arguments.file:
            checksum = write_table(Path(arguments.file), parts)
            print(f"{arguments.file}: {Path(arguments.file).stat().st_size:,} bytes, SHA-256 of its content {checksum}")
        for part in ("train", "test"):
            equal = np.array_equal(np.stack(official_boxes(part), axis=1), parts[part])
            print(f"{part}: the package's table {'has exactly these boxes' if equal else 'DIFFERS'}")


if __name__ == "__main__":
    main()
