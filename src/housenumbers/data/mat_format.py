"""The formats of files in the place of SVHN's .mat files, recognized by their first bytes. Does not import torch."""

import re
from pathlib import Path

from housenumbers.runtime.errors import UserError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_PLACES = (0, 512, 1024, 2048)  # offsets of the signature in its specification
# The first bytes of other file formats.
_OTHERS = {
    b"MATLAB 7.3": "an HDF5 file (version 7.3 of MATLAB)",
    b"# Created by Octave": "a file in Octave's text format",
    b"Octave-1-": "a file in Octave's binary format",
    b"PK\x03\x04": "a zip file, as NumPy's .npz",
    b"\x93NUMPY": "a NumPy file",
    b"RDX": "a file of R's save()",
    b"RDA": "a file of R's save()",
    b"\x1f\x8b": "a file compressed with gzip, as Octave's save -zip or R's save() writes",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
}
HOW_TO_SAVE = (
    "save X and y in version 7: `save -v7 FILE X y` in Octave or MATLAB, writeMat of R.matlab in R, "
    "scipy.io.savemat in Python"
)
ELSE = "fetch it again if it is SVHN's own"


def check_mat_format(path: Path) -> None:
    """Raises UserError where the first bytes of the file are of another format, or there are none."""
    if other := _other_format(path):
        raise UserError(f"{path}: {other}, which cannot be read here: {HOW_TO_SAVE}; {ELSE}")


def _other_format(path: Path) -> str | None:
    """The file's format if it is not a MATLAB file of a version before 7.3. None where it may be one."""
    with path.open("rb") as file:
        head = file.read(max(_HDF5_PLACES) + len(_HDF5))
    if not head:
        return "damaged, an empty file"
    if any(head.startswith(_HDF5, place) for place in _HDF5_PLACES):
        return "an HDF5 file (version 7.3 of MATLAB, Julia's default, Octave's save -hdf5)"
    for beginning, name in _OTHERS.items():
        if head.startswith(beginning):
            return name
    if not head.startswith(b"MATLAB 5.0") and not re.search(rb"[^\t\n\r\x20-\x7e\x80-\xff]", head):
        return "a text file"
    return None
