"""Files in SVHN's format, from MATLAB and other programs, and what is none: named for what it is."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse
import torch
from support import data_config as config
from test_svhn import positions

from housenumbers.data.load import load_test
from housenumbers.data.mat_contents import check_mat_contents
from housenumbers.data.mat_file import read_mat
from housenumbers.runtime.errors import UserError


def test_read_mat_gives_the_contract(svhn_folder: Path) -> None:
    images, labels = read_mat(svhn_folder / "train_32x32.mat")
    assert images.shape == (600, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert positions(images)[:3] == [(0, 0), (0, 1), (0, 2)]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200_000])


def _garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[128:5000] = bytes(range(256)) * 19 + bytes(8)
    path.write_bytes(content)


def _rewrite(**variables: np.ndarray) -> object:
    return lambda path: scipy.io.savemat(path, variables)


HDF5 = b"\x89HDF\r\n\x1a\n"
PIXELS = np.zeros((32, 32, 3, 20), np.uint8)
BITS = np.indices(PIXELS.shape).sum(axis=0).astype(np.uint8) % 2
LABELS = np.arange(20)[:, None] % 10 + 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_truncate, "damaged"),
        (_garble, "damaged"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.write_text("<html>not found</html>" * 99), "a text file"),
        (_rewrite(a=PIXELS), "no variables X and y"),
        (_rewrite(X=PIXELS.astype(np.float32), y=LABELS), r"float32 \[32, 32, 3, 20\]"),
        (_rewrite(X=PIXELS[:28], y=LABELS), r"\[28, 32, 3, 20\]"),
        (_rewrite(X=PIXELS, y=LABELS[:19]), "20 images but 19 labels"),
        (_rewrite(X=PIXELS, y=LABELS + 1), r"labels from 2 to 11, outside 1..10"),
        (_rewrite(X=PIXELS, y=-LABELS), r"labels from -10 to -1, outside 1..10"),
        (_rewrite(X=PIXELS, y=LABELS - 1), r"labels from 0 to 9 instead of 1 to 10.*y\(y == 0\) = 10"),
        (_rewrite(X=PIXELS, y=LABELS + 0.5), "y holds float64 instead of whole numbers"),
        (_rewrite(X=PIXELS, y=np.where(LABELS == 3, np.nan, LABELS)), "y holds float64 instead of whole numbers"),
        (_rewrite(X=PIXELS, y=np.eye(10)[LABELS.ravel() - 1]), r"20 images but 200 labels, y being \[20, 10\]"),
        (_rewrite(X=PIXELS, y=np.array([str(label) for label in LABELS.ravel()])), "y holds <U2"),
        (_rewrite(X=PIXELS, y=scipy.sparse.csc_matrix(LABELS)), "y holds csc_"),
        (_rewrite(X=PIXELS.transpose(3, 0, 1, 2), y=LABELS), r"permute\(X, \[2 3 4 1\]\)"),
        (_rewrite(X=PIXELS.transpose(3, 2, 0, 1), y=LABELS), r"permute\(X, \[3 4 2 1\]\)"),
        (_rewrite(X=PIXELS.reshape(3072, 20), y=LABELS), r"X is uint8 \[3072, 20\]"),
        (_rewrite(X=np.full(PIXELS.shape, 0.7), y=LABELS), r"whole numbers up to 255: X = uint8\(255 \* X\)"),
        (_rewrite(X=np.full(PIXELS.shape, 300), y=LABELS), r"X is int64.*whole numbers up to 255"),
        (_rewrite(X=BITS, y=LABELS), r"uint8 .* on 0..1, and not of whole numbers up to 255: X = uint8\(255 \* X\)"),
        (_rewrite(X=BITS.astype(bool), y=LABELS), r"on 0..1, .*X = uint8\(255 \* X\)"),
        (_rewrite(X=BITS * 127.5, y=LABELS), r"with fractions, .*X = uint8\(X\)"),
        (_rewrite(X=BITS + 0j, y=LABELS), "complex128 .* of complex numbers"),
        (_rewrite(X=np.where(BITS, np.nan, 7.0), y=LABELS), "no finite numbers"),
        (_rewrite(X=BITS * -3.0, y=LABELS), r"on -3\.\.-?0, .*scale them to 0..255"),
        (_rewrite(X=PIXELS, y=LABELS * 1e299), r"labels from 1e\+299 to 1e\+300, outside 1..10"),
        (_rewrite(X={"data": PIXELS}, y=LABELS), r"X is (struct )?\["),
        (_rewrite(images=PIXELS, labels=LABELS), r"but images \(uint8 \[32, 32, 3, 20\]\), labels \(int64 \[20, 1\]\)"),
        (_rewrite(X=PIXELS), r"but X \(uint8"),
        (
            lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + HDF5),
            "an HDF5 file .*7.3",
        ),
        (lambda path: path.write_bytes(HDF5 + bytes(5000)), "an HDF5 file .*Octave's save -hdf5.*save -v7 FILE X y"),
        (lambda path: path.write_text("# Created by Octave 8.4.0, Fri 2026\n# name: X\n"), "Octave's text format.*-v7"),
        (lambda path: path.write_bytes(b"Octave-1-L\0" + bytes(99)), "Octave's binary format"),
        (lambda path: path.write_bytes(gzip.compress(b"# Created by Octave")), "compressed with gzip"),
        (lambda path: np.savez(path.open("wb"), X=PIXELS, y=LABELS), "a zip file, as NumPy's"),
        (lambda path: path.write_text("1 2 3\n4 5 6\n"), "a text file"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "damaged"),
        (_rewrite(X=PIXELS[..., :0], y=LABELS[:0]), "no images"),
    ],
)
def test_a_bad_file_is_named_in_one_line(svhn_folder: Path, damage: object, said: str) -> None:
    file = svhn_folder / "test_32x32.mat"
    damage(file)  # type: ignore[operator]
    with pytest.raises(UserError, match=said):
        check_mat_contents(file)
    with pytest.raises(UserError, match=said) as caught:
        load_test(config(svhn_folder))
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int32, np.int64, np.uint8, np.int16])
@pytest.mark.parametrize("row", [True, False])
def test_whole_numbers_of_any_type_are_read(svhn_folder: Path, tmp_path: Path, kind: type, row: bool) -> None:
    """Octave, R and Julia write double and int32 where nothing else is asked for, and vectors as rows."""
    content = scipy.io.loadmat(svhn_folder / "test_32x32.mat", variable_names=("X", "y"))
    labels = content["y"].T if row else content["y"]
    scipy.io.savemat(tmp_path / "other.mat", {"X": content["X"].astype(kind), "y": labels.astype(kind)})
    own, other = read_mat(svhn_folder / "test_32x32.mat"), read_mat(tmp_path / "other.mat")
    assert torch.equal(other.images, own.images)
    assert torch.equal(other.labels, own.labels)
    assert other.sha256() == own.sha256()


@pytest.mark.parametrize("compressed", [True, False])
def test_compressed_or_not_with_other_variables_beside(svhn_folder: Path, tmp_path: Path, compressed: bool) -> None:
    content = scipy.io.loadmat(svhn_folder / "test_32x32.mat", variable_names=("X", "y"))
    more = {"X": content["X"], "y": content["y"], "notes": "mine", "extra": {"a": 1}}
    scipy.io.savemat(tmp_path / "other.mat", more, do_compression=compressed)
    assert read_mat(tmp_path / "other.mat").sha256() == read_mat(svhn_folder / "test_32x32.mat").sha256()
