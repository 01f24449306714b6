"""Checks the files of SVHN before a run makes its folder. Does not import torch."""

import importlib.util
from dataclasses import replace
from pathlib import Path

from housenumbers.config.sections import DataConfig
from housenumbers.data.cache_entry import is_cached
from housenumbers.data.mat_format import check_mat_format
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.installation import pip_install
from housenumbers.runtime.signals import deferred_signals

SITE = "http://ufldl.stanford.edu/housenumbers/"
_SMALLEST_OFFICIAL = 60_000_000  # bytes: test_32x32.mat has 61 MiB


def training_parts(config: DataConfig) -> list[str]:
    """The parts that `data.use_extra` trains on."""
    return {"false": ["train"], "true": ["train", "extra"], "only": ["extra"]}[config.use_extra]


def check_svhn_files(config: DataConfig) -> None:
    """Raises UserError where a file is missing and may not be downloaded, or does not hold digits in SVHN's format.

    The values of the pixels, and the MD5 sums of official files, are left to the reader, since they take longer.
    """
    for path in _files(config):
        if not path.is_file():
            if path.exists():
                raise UserError(f"{path}: is not a file: put SVHN's own file there")
            if not config.download:
                raise UserError(f"{path}: no such file: set data.root to its folder, or data.download=true")
        elif is_cached(path, config.cache, cache_variant(config)):
            continue  # it was decoded before
        elif config.name == "svhn" and config.verify:
            check_mat_format(path)
            if path.stat().st_size < _SMALLEST_OFFICIAL:
                raise not_official(path, "it is too small")
        else:
            with deferred_signals():  # an interrupted import leaves NumPy broken
                from housenumbers.data.mat_contents import check_mat_contents
            check_mat_contents(path)


def crops_of_numbers(config: DataConfig) -> DataConfig:
    """The configuration of the crops that whole numbers are put together from.

    data=svhn_numbers takes the official files, or the files of SVHN-6k where `data.root` holds them.
    """
    test = Path(config.root) / "test_32x32.mat"
    is_small = test.is_file() and test.stat().st_size < _SMALLEST_OFFICIAL
    name = "svhn_6k" if is_small or config.name == "svhn_6k_numbers" else "svhn"
    return replace(config, name=name, width=0)


def check_photo_files(config: DataConfig) -> None:
    """Raises UserError where a part's digitStruct.mat is missing and may not be downloaded, or is another kind of file.

    Also where the package that reads it is not installed. The photos themselves are left to the reader.
    """
    for part in [*training_parts(config), "test"]:
        path = allowed_digit_struct(config, part)
        if importlib.util.find_spec("h5py") is None:
            raise UserError(f"{path}: h5py, which reads it, is not installed: {pip_install('photos')}")
        if path.is_file():
            with deferred_signals():  # an interrupted import leaves NumPy broken
                from housenumbers.data.digit_struct import check_digit_struct
            check_digit_struct(path)


def allowed_digit_struct(config: DataConfig, part: str) -> Path:
    """The place of a part's digitStruct.mat. Raises UserError where it is missing and may not be downloaded."""
    path = Path(config.root) / part / "digitStruct.mat"
    folder, archive = path.parent, Path(config.root) / f"{part}.tar.gz"
    is_absent = not folder.exists()  # asked first: another process may make it, with the file, in between
    if path.is_file() or (config.download and is_absent):
        return path
    where = "unpack it" if archive.is_file() else f"fetch it from {SITE} and unpack it"
    download = f"move {folder} away and set data.download=true" if folder.exists() else "set data.download=true"
    raise UserError(
        f"{path}: no such file: it is in {archive.name}: {where} in {config.root}, {download}, or set data.root"
    )


def cache_variant(config: DataConfig) -> str:
    """What the cache's entries of decoded files depend on, besides the files."""
    return f"verified={config.verify and config.name == 'svhn'}"


def not_official(path: Path, reason: str) -> UserError:
    """The error for a file in the place of SVHN's own where `data.verify` asks for that."""
    return UserError(
        f"{path}: not the official file ({reason}): delete it to download it again, "
        "or accept it as it is with data.verify=false"
    )


def _files(config: DataConfig) -> list[Path]:
    parts = training_parts(config)
    if config.name == "svhn_6k":  # cut from train and test, or in three files: the test file decides
        parts = [part for part in ("train", "extra") if (Path(config.root) / f"{part}_32x32.mat").is_file()]
    return [Path(config.root) / f"{part}_32x32.mat" for part in [*parts, "test"]]
