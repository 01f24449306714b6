"""SVHN's digitStruct.mat: the layout that MATLAB 7.3 writes, and files that have another."""

from pathlib import Path

import numpy as np
import pytest
from support import write_digit_struct

from housenumbers.data.digit_struct import read_digit_struct
from housenumbers.runtime.errors import UserError

h5py = pytest.importorskip("h5py")

BOXES = [[(1, 2, 3, 4, 10)], [(5, -1, 7, 8, 1), (9, 10, 11, 12, 9)], [(13, 14, 15, 16, 5)]]


def test_each_digit_has_a_row(tmp_path: Path) -> None:
    write_digit_struct(tmp_path / "digitStruct.mat", BOXES)
    names, rows = read_digit_struct(tmp_path / "digitStruct.mat")
    assert names == ["1.png", "2.png", "3.png"]
    expected = [[1, 1, 2, 3, 4, 0], [2, 5, -1, 7, 8, 1], [2, 9, 10, 11, 12, 9], [3, 13, 14, 15, 16, 5]]
    assert rows.tolist() == expected


def test_another_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "digitStruct.mat"
    with h5py.File(path, "w") as file:
        file["X"] = [1.0]
    with pytest.raises(UserError, match=r"digitStruct\.mat: not SVHN's digitStruct\.mat"):
        read_digit_struct(path)
    for width in (0, float("nan"), 1e300):
        write_digit_struct(path, [[(1, 2, width, 4, 10)]])
        with pytest.raises(UserError, match=r"not SVHN's digitStruct\.mat"):
            read_digit_struct(path)
    write_digit_struct(path, BOXES)
    with h5py.File(path, "r+") as file:
        del file["#refs#/1left1"]
        file["#refs#"].create_dataset("1left1", data=np.zeros((300, 300)))  # where a single value belongs
        file["#refs#/photo1/left"][1] = file["#refs#/1left1"].ref
    with pytest.raises(UserError, match=r"not SVHN's digitStruct\.mat"):
        read_digit_struct(path)
    write_digit_struct(path, BOXES)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"digitStruct\.mat: not SVHN's[^\n]*$"):
        read_digit_struct(path)
