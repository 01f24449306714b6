"""Downloads SVHN's photos ("format 1"): an archive for each part, which is checked and then unpacked as a whole."""

import gzip
import shutil
import tarfile
import zlib
from pathlib import Path

from tqdm import tqdm

from housenumbers.config.sections import DataConfig
from housenumbers.data.download import download, download_resumably
from housenumbers.data.svhn_files import SITE, allowed_digit_struct, not_official
from housenumbers.runtime import signals
from housenumbers.runtime.errors import UserError, os_error_message
from housenumbers.runtime.files import sha256_of

# Bytes and SHA-256 of the archives. SVHN's site has no checksums. docTR lists those of train and test, and Hugging Face
# (datasets/svhn/dataset_infos.json) the same ones, that of extra, and the sizes.
ARCHIVES = {
    "train": (404_141_560, "4b17bb33b6cd8f963493168f80143da956f28ec406cc12f8e5745a9f91a51898"),
    "test": (276_555_967, "57ac9ceb530e4aa85b55d991be8fc49c695b3d71c6f6a88afea86549efde7fb5"),
    "extra": (1_955_489_752, "e857e27d1e65bd1e7d3959b094061777f6506bbc39889a0df3bba6a729d60f9c"),
}


def digit_struct_file(config: DataConfig, part: str) -> Path:
    """The digitStruct.mat beside the photos of a part. Downloads and unpacks the archive of a missing part.

    Raises UserError where it is missing and may not, or cannot, be downloaded.
    """
    path = allowed_digit_struct(config, part)
    if not path.is_file():
        fetch_photos(Path(config.root), part, config.verify)
    return allowed_digit_struct(config, part)


def fetch_photos(root: Path, part: str, verify: bool) -> None:
    """Makes the folder `root/part` of a part (train, test or extra). Does nothing where it exists by then.

    Unpacks `root/PART.tar.gz` where the user has put it, and keeps it. Otherwise downloads the archive to a hidden
    file, and deletes that after it is unpacked: a later call goes on with what a killed or failed one left.
    Without `verify`, any archive of the user's is accepted; a download has to be the official one in any case.
    Raises UserError where the archive cannot be downloaded, is not the official one or damaged, or cannot be unpacked.
    """
    folder, own, partial = root / part, root / f"{part}.tar.gz", root / f".{part}.tar.gz.part"
    if not hasattr(tarfile, "data_filter"):
        raise UserError(
            f"{folder}: no such folder, and this Python unpacks no archive safely: use 3.11.4 or later, "
            f"or fetch {SITE}{own.name} and unpack it in {root} yourself"
        )

    def fetch(temporary: Path) -> None:
        archive = own if own.is_file() else partial
        if archive is partial:
            _download_archive(partial, part)
        elif verify and sha256_of(own) != ARCHIVES[part][1]:
            raise not_official(own, "its SHA-256 differs")
        _unpack(archive, temporary)

    try:
        download(folder, fetch)
        partial.unlink(missing_ok=True)
    except ConnectionError as error:
        raise UserError(
            f"{folder}: no such folder, and {SITE}{own.name} could not be downloaded ({error}): start again (it "
            f"goes on where it ended), put the file into {root}, or set data.root to the folder that holds {part}"
        ) from None
    except OSError as error:
        explanation = os_error_message(OSError(error.errno, error.strerror, f"data.root={root}"))
        if explanation is None:
            raise
        raise UserError(explanation) from None


def _download_archive(path: Path, part: str) -> None:
    """Downloads the archive of a part to `path`, or the rest of it.

    Raises ConnectionError for network errors, OSError where the file cannot be written, and UserError where the disk
    is too small or the content is not the official one. What was received stays, unless it is wrong.
    """
    size, sha256 = ARCHIVES[part]
    _check_space(path, size)
    try:
        download_resumably(SITE + f"{part}.tar.gz", path, size)
    finally:
        if path.is_file() and not path.stat().st_size:
            path.unlink()
    if sha256_of(path) != sha256:
        path.unlink()
        raise UserError(
            f"{SITE}{part}.tar.gz: not the official file (its SHA-256 differs), so it was deleted: start again to "
            f"download it anew, or unpack one of your own in {path.parent}"
        )


def _check_space(path: Path, size: int) -> None:
    """Raises UserError where the disk cannot hold an archive of `size` bytes and its photos, as many again."""
    free, there = shutil.disk_usage(path.parent).free, path.stat().st_size if path.is_file() else 0
    if free < (needed := 2 * size - there):
        raise UserError(
            f"data.root={path.parent}: {free / 1e9:.1f} GB are free, and what is to be downloaded needs "
            f"{needed / 1e9:.1f} GB: make room, or choose a folder on another disk"
        )


def _unpack(archive: Path, folder: Path) -> None:
    """Unpacks an archive into the parent of `folder`, which it has to make. Shows a progress bar.

    Raises UserError where the archive is damaged, or holds other things, and OSError where files cannot be written.
    """
    remedy = "delete it to download the official one"
    name, unit = archive.name.removeprefix(".").removesuffix(".part"), {"unit": "B", "unit_scale": True}
    bar = {"desc": f"unpacking {name}", "total": archive.stat().st_size, "leave": False, "disable": None, **unit}
    try:
        with (
            archive.open("rb") as file,
            tqdm.wrapattr(file, "read", **bar) as shown,
            gzip.GzipFile(fileobj=shown, mode="rb") as content,
            tarfile.open(fileobj=content, mode="r|") as tar,
        ):
            for member in tar:
                signals.exit_if_received()
                tar.extract(member, folder.parent, set_attrs=False, filter=_checked)
            while content.read(1 << 20):  # to the end, where gzip compares its checksum
                pass
    except tarfile.FilterError as error:
        raise UserError(f"{archive}: not unpacked, since it could change other files ({error}): {remedy}") from None
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{archive}: damaged ({error}): {remedy}") from None
    if not (folder / "digitStruct.mat").is_file():
        raise UserError(f"{archive}: has no {folder.name}/digitStruct.mat: {remedy}")


def _checked(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """The member as Python's filter "data" lets it pass. Raises FilterError unless it is a file or folder inside."""
    if not (member.isreg() or member.isdir()):
        raise tarfile.SpecialFileError(member)
    return tarfile.data_filter(member, folder)
