"""Finds image files: by name, in folders, by pattern, or listed on standard input. Does not import torch."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import expand_user

# Files and folders that systems and network drives create among images, in lower case.
_SYSTEM_NAMES = {
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "picasa.ini",
    "__macosx", "@eadir", "@__thumb", "@recycle", "#recycle", "@tmp", "#snapshot", "@recently-snapshot",
    "$recycle.bin", "recycler", "system volume information", "lost+found",
}  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden or created by the system."""
    return name.startswith(".") or _is_system_name(name)


def _is_system_name(name: str) -> bool:
    return name.casefold() in _SYSTEM_NAMES or name.startswith("~$")


def iter_files(folder: Path) -> Iterator[Path]:
    """All files in the folder and its subfolders, also through links, except hidden ones below it.

    Visits each folder once, even if several links lead to it. Yields broken links too, so that the reader reports them.
    Yields nothing where there is no folder. Raises UserError where a folder cannot be read.
    """
    if not folder.is_dir():
        return

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror}): permit reading it, or move it away")

    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        status = Path(place).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in sorted(names):
            path = Path(place, name)
            if not is_hidden(name) and (path.is_file() or (path.is_symlink() and not path.exists())):
                yield path


def list_files(folder: Path) -> list[Path]:
    """`iter_files`, sorted by path."""
    return sorted(iter_files(folder))


def split_names(images: str) -> list[str]:
    """The names in `images=`: one, or several as `[a.png,folder]`. A file with brackets in its name is one."""
    if images.startswith("[") and images.endswith("]") and not Path(images).exists():
        return [word for part in images[1:-1].split(",") if (word := part.strip())]
    return [images]


def find_images(images: Sequence[str]) -> Iterable[Path]:
    """The files that `images` names: files, folders and patterns (`*`, `?`, `**`), or `-`: paths on standard input.

    Raises UserError for a name without files. Reads standard input lazily, one path per line, and raises at its end.
    """
    if "-" in images:
        if len(images) > 1:
            raise UserError("images=-: reads paths from standard input alone: name no others beside it")
        return _from_standard_input()
    files = [file for word in images for file in _files_of(word)]
    if not files:
        raise UserError("images: names no files: give some, a folder, a pattern, or - for paths on standard input")
    return files


def _files_of(word: str) -> list[Path]:
    if not word:  # as of an unset variable in a script: the empty path would be the working folder
        raise UserError("images=: must name files, a folder, a pattern, or - for paths on standard input")
    path = expand_user(word)
    if path.exists():
        paths = [path]
    elif glob.has_magic(word):
        paths = _matches(path)
    else:
        raise UserError(f"images={word}: no such file or folder")
    files = [file for entry in paths for file in (list_files(entry) if entry.is_dir() else [entry])]
    if not files:
        raise UserError(f"images={word}: no file is there, or none that fits the pattern")
    return list(dict.fromkeys(files))  # `**` matches a file and its folder


def _matches(pattern: Path) -> list[Path]:
    """The paths that match the pattern, except system files and folders that it does not name explicitly.

    `*` and `**` never match hidden ones.
    """
    paths = [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207 (absolute ones too)
    named = {part for part in pattern.parts if not glob.has_magic(part)}
    return [path for path in paths if not any(_is_system_name(part) for part in path.parts if part not in named)]


def _from_standard_input() -> Iterator[Path]:
    named = False
    for line in sys.stdin:
        if word := line.rstrip("\r\n"):
            path = Path(word)
            for file in list_files(path) if path.is_dir() else [path]:
                named = True
                yield file
    if not named:
        raise UserError("images=-: standard input names no files")
