"""Where the files of images are: named, in folders, found by a pattern, listed on standard input. No torch here."""

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from housenumbers.runtime.errors import UserError

# What systems and network drives put among images, in lower case; and what begins with a full stop.
_OF_THE_SYSTEM = {
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r", "picasa.ini",
    "__macosx", "@eadir", "@__thumb", "@recycle", "#recycle", "@tmp", "#snapshot", "@recently-snapshot",
    "$recycle.bin", "recycler", "system volume information", "lost+found",
}  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is no data of the user's: hidden, or the system's own."""
    return name.startswith(".") or _of_the_system(name)


def _of_the_system(name: str) -> bool:
    return name.casefold() in _OF_THE_SYSTEM or name.startswith("~$")


def iter_files(folder: Path) -> Iterator[Path]:
    """All files in the folder and those below it, also through links, but for what is hidden below it.

    Each folder once, whatever links lead to it. Links that lead nowhere are among the files: who reads them can say so.
    None where there is no folder. Raises UserError where a folder cannot be read.
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
    """`each_file_below`, in the order of their paths."""
    return sorted(iter_files(folder))


def split_names(images: str) -> list[str]:
    """What `images=` names: one thing, or several as `[a.png,folder]`; a file whose own name has brackets is one."""
    if images.startswith("[") and images.endswith("]") and not Path(images).exists():
        return [word for part in images[1:-1].split(",") if (word := part.strip())]
    return [images]


def find_images(images: Sequence[str]) -> Iterable[Path]:
    """The files that these words name: files, folders and patterns (`*`, `?`, `**`), or `-`: paths on standard input.

    Raises UserError for a word that names nothing. Lines of standard input are taken as they come, a path each.
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
    path = Path(word).expanduser()
    if path.exists():
        found = [path]
    elif glob.has_magic(word):
        found = _matches(path)
    else:
        raise UserError(f"images={word}: no such file or folder")
    files = [file for each in found for file in (list_files(each) if each.is_dir() else [each])]
    if not files:
        raise UserError(f"images={word}: no file is there, or none that fits the pattern")
    return list(dict.fromkeys(files))  # `**` names a file, and the folder that it is in


def _matches(pattern: Path) -> list[Path]:
    """What fits the pattern, but for the system's own files and folders that it does not name itself.

    Hidden ones do not fit `*` and `**` anyway.
    """
    found = [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207 (absolute ones too)
    named = {part for part in pattern.parts if not glob.has_magic(part)}
    return [path for path in found if not any(_of_the_system(part) for part in path.parts if part not in named)]


def _from_standard_input() -> Iterator[Path]:
    for line in sys.stdin:
        if word := line.rstrip("\r\n"):
            path = Path(word)
            yield from list_files(path) if path.is_dir() else [path]
