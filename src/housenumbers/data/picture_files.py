"""Where the files of pictures are: named, in folders, found by a pattern, listed on standard input. No torch here."""

import glob
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from housenumbers.errors import UserError


def files_below(folder: Path) -> list[Path]:
    """All files in the folder and those below it, in the order of their paths, but for the system's own.

    Links that lead nowhere are among them: who reads them can say so.
    """
    return sorted(
        path
        for path in folder.rglob("*")
        if (path.is_file() or (path.is_symlink() and not path.exists()))
        and not path.name.startswith(".")
        and path.name not in ("Thumbs.db", "desktop.ini")
    )


def named(images: str) -> list[str]:
    """What `images=` names: one thing, or several as `[a.png,folder]`; a file whose own name has brackets is one."""
    if images.startswith("[") and images.endswith("]") and not Path(images).exists():
        return [word for part in images[1:-1].split(",") if (word := part.strip())]
    return [images]


def find_pictures(images: Sequence[str]) -> Iterable[Path]:
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
        found = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 (absolute ones too)
    else:
        raise UserError(f"images={word}: no such file or folder")
    files = [file for each in found for file in (files_below(each) if each.is_dir() else [each])]
    if not files:
        raise UserError(f"images={word}: no file is there, or none that fits the pattern")
    return list(dict.fromkeys(files))  # `**` names a file, and the folder that it is in


def _from_standard_input() -> Iterator[Path]:
    for line in sys.stdin:
        if word := line.rstrip("\r\n"):
            path = Path(word)
            yield from files_below(path) if path.is_dir() else [path]
