"""Removes checkpoints that a setting does not keep, and notes beside them which setting it was and how to train again.

The note is written first, so that a kill at any time leaves the files whole, or a note that explains what is missing.
"""

from contextlib import suppress
from pathlib import Path

from housenumbers.runtime.files import read_dict, write_json

NOTE_FILE = "removed.json"  # in a run's folder checkpoints/


def has_checkpoints(folder: Path) -> bool:
    """Whether anything but a note is among the checkpoints of the run in `folder`."""
    try:
        return any(file.name != NOTE_FILE for file in (folder / "checkpoints").iterdir())
    except OSError:
        return False


def remove_checkpoints(folder: Path, setting: str, command: str) -> None:
    """Removes the checkpoints of the run in `folder`. The note names the `setting` and the `command` to train again."""
    checkpoints = folder / "checkpoints"
    try:
        files = {file: file.stat().st_size for file in checkpoints.iterdir() if file.name != NOTE_FILE}
    except OSError:  # there are none, or another worker is removing them
        return
    with suppress(OSError):  # whatever is left is removed after the next trial
        # The note is looked for last: a worker writes it before it removes a file.
        if files and not (checkpoints / NOTE_FILE).exists():
            note = {"setting": setting, "command": command, "bytes": sum(files.values())}
            write_json(checkpoints / NOTE_FILE, note)
        for file in files:
            file.unlink(missing_ok=True)


def removal_message(file: Path) -> str | None:
    """Why the checkpoint `file` is missing, if it was removed by a setting."""
    note = read_dict(file.parent / NOTE_FILE)
    if note is None:
        return None
    return f"{file}: was removed by {note.get('setting')}: to have it again, train again: {note.get('command')}"


def sizes(folder: Path) -> tuple[int, int]:
    """The bytes that the checkpoints of all runs in the folders below `folder` take, and those that were removed."""
    kept = removed = 0
    for checkpoints in folder.glob("*/checkpoints"):
        for file in checkpoints.glob("*.pt"):
            with suppress(FileNotFoundError):  # another worker has just removed it
                kept += file.stat().st_size
        size = (read_dict(checkpoints / NOTE_FILE) or {}).get("bytes")
        removed += size if isinstance(size, int) else 0
    return kept, removed
