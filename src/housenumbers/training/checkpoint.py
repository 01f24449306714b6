"""Checkpoints of plain tensors, numbers and strings: written atomically, loaded without running code."""

import errno
import hashlib
import io
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import open_file, write_atomically
from housenumbers.runtime.memory import is_out_of_memory
from housenumbers.tracking.record_validation import check_calibration
from housenumbers.tracking.removed_checkpoints import removal_message

FORMAT = 1


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes plain data to `path`, atomically. Raises OSError where the disk is full."""
    written = checkpoint_bytes(content)  # in memory first: on a full disk torch.save does not raise OSError
    write_atomically(path, lambda file: file.write(written))


def checkpoint_bytes(content: Mapping[str, Any]) -> memoryview:
    """Plain data as the bytes of a checkpoint."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    return buffer.getbuffer()


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The content of a checkpoint, its tensors on `device`.

    Raises UserError where the file is missing, damaged, holds anything but plain data, or comes from another program,
    and OSError where it cannot be read, so that its content is unknown.
    """
    return as_checkpoint(load_plain_data(path, device), path)


def as_checkpoint(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The content of the file at `path`. Raises UserError where it comes from another program, or is invalid."""
    if content.get("format") != FORMAT or not isinstance(content.get("config"), dict):
        raise UserError(f"{path}: not a checkpoint of this program (format {FORMAT})")
    check_calibration(content.get("calibration"), str(path))
    return content


def load_plain_data(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """A dictionary of tensors, numbers and strings, such as a state dict.

    Raises UserError where the file is missing, damaged, or holds anything else, and OSError where it cannot be read.
    """
    try:
        with open_file(path) as file:
            _check_archive(file, path)
            with warnings.catch_warnings(action="ignore"):  # torch's warnings about foreign files take many lines
                content = torch.load(file, map_location=device, weights_only=True)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            removal_message(path) or f"{path}: no such checkpoint: name a run's folder, or a .pt file"
        ) from None
    except UserError:
        raise
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: refused: it is damaged, or holds more than plain data and could run code on this machine"
        ) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: damaged bytes lead to impossible offsets
            error.filename = str(path)
            raise
        raise _damaged(path, error) from None
    except Exception as error:  # torch raises many types on damaged bytes
        if is_out_of_memory(error):
            raise UserError(
                f"{path}: too little memory to load it: end other programs, or take another device"
            ) from None
        raise _damaged(path, error) from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: not a checkpoint of this program (format {FORMAT})")
    return content


def _check_archive(file: BinaryIO, path: Path) -> None:
    """Raises UserError where the file is neither a zip archive nor a pickle, the formats of `torch.save`.

    Also where an archive has changed since it was written: torch does not verify checksums.
    """
    beginning = file.read(2)
    is_archive = zipfile.is_zipfile(file)
    file.seek(0)
    if not is_archive:
        if beginning != b"PK" and beginning[:1] not in (b"\x80", b""):  # such as a truncated file: torch reports it
            raise UserError(f"{path}: is no checkpoint: name a run's folder or its checkpoints/best.pt")
        return
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip() is not None
    except Exception as error:  # zipfile raises many types on damaged bytes
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        damaged = True
    if damaged:
        raise UserError(f"{path}: damaged: its checksums do not fit: use another one")
    file.seek(0)


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: damaged or no checkpoint ({type(error).__name__}): use another one")


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], strict: bool = True) -> None:
    """`model.load_state_dict`, for weights in the current format of the model. They are cast to its types.

    A plain dictionary lacks the format version of each module, without which some models load nothing (MNASNet).
    """
    versioned = OrderedDict(weights)
    versioned._metadata = model.state_dict()._metadata  # type: ignore[attr-defined]
    model.load_state_dict(versioned, strict=strict)


def weights_in(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights that a checkpoint's scores belong to: the averaged ones if last.pt holds both."""
    return content["model"] | (content.get("average") or {"tensors": {}})["tensors"]


def weights_sha256(state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of the names, types, shapes and bytes of all parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_weights(content: Mapping[str, Any], sha256: str | None, path: Path) -> None:
    """Raises UserError where the checkpoint at `path` does not hold the weights with this `weights_sha256`, if any."""
    if sha256 is None:  # not recorded by earlier versions
        return
    try:
        unchanged = weights_sha256(weights_in(content)) == sha256
    except (AttributeError, KeyError, TypeError, RuntimeError):  # no tensors
        unchanged = False
    if not unchanged:
        raise UserError(f"{path}: its weights are not those that the run saved: put the run's own file there")
