"""The export formats, and checks of whether this machine can write them, before torch is imported."""

import os
from importlib.util import find_spec
from pathlib import Path

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.installation import pip_install

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "weights": ".pt"}
_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_export_format(form: str, file: Path | None) -> None:
    """Raises UserError where the packages of the format are missing, `file` has another suffix or cannot be written."""
    if file is not None and (file.suffix != SUFFIXES[form] or file.is_dir()):
        raise UserError(f"file={file}: must be the name of a file that ends in {SUFFIXES[form]}, as format={form} asks")
    if file is not None and file.parent.name == "checkpoints" and file.name in ("best.pt", "last.pt"):
        raise UserError(f"file={file}: is a run's own checkpoint: name another file")
    if file is not None:
        place = next(folder for folder in file.absolute().parents if os.path.lexists(folder))
        if not place.is_dir():
            raise UserError(f"file={file}: {place} is not a folder: name another place, or move it away")
        if not os.access(place, os.W_OK | os.X_OK):
            raise UserError(f"file={file}: {place}: no permission to write there: name another place")
    if form == "onnx" and any(find_spec(package) is None for package in _PACKAGES):
        raise UserError(f"format=onnx: is not installed: {pip_install('onnx')}, or use format=torch")


def topmost_missing_folder(file: Path) -> Path | None:
    """The topmost folder that has to be made for `file`. None where its folder exists."""
    return next((folder for folder in reversed(file.parents) if not folder.exists()), None)
