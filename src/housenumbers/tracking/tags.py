"""Tags and a note that a user gives to a run, in the file `tags.json` of the run's folder.

They are neither in the configuration, so that equal runs stay equal whatever they are called, nor in `run.json`, which
only the process that holds the run's lock may write: a run can be tagged while it is running.
"""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from housenumbers.config.constraints import require
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import read_text, write_json
from housenumbers.tracking.run_folder import RunFolder

log = logging.getLogger(__name__)

TAGS_FILE = "tags.json"
TAG_KEYS = ("tags", "note")
_MAX_TAGS, _MAX_NOTE_LENGTH = 20, 500


def parse_tags(words: Sequence[str]) -> dict[str, Any]:
    """The values of `tags=[A,B]` (or `tags=A`) and `note=TEXT`, as typed. `null` or nothing removes them.

    Raises UserError for another key, a key given twice, and a value that is no list of tags or no note.
    """
    values: dict[str, Any] = {}
    for key, _, text in (word.partition("=") for word in words):
        if key not in TAG_KEYS:
            raise UserError(
                f"{key}: no such key with run=, which takes {' and '.join(TAG_KEYS)} (folder=FOLDER is a filter)"
            )
        if key in values:
            raise UserError(f"{key}: given twice: give it once" + (", as tags=[A,B]" if key == "tags" else ""))
        text = "" if text == "null" else text
        values[key] = _tags_in(text) if key == "tags" else text
    _check(values)
    return values


def _tags_in(text: str) -> list[str]:
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return list(dict.fromkeys(tag.strip() for tag in inner.split(","))) if inner.strip() else []


def _check(values: dict[str, Any]) -> None:
    tags, note = values.get("tags", []), values.get("note", "")
    are_tags = isinstance(tags, list) and all(
        isinstance(tag, str) and re.fullmatch(r"[\w.-]{1,40}", tag) for tag in tags
    )
    require(are_tags, "tags", tags, "a list, each tag 1 to 40 letters, digits, '_', '.' or '-'")
    require(len(tags) <= _MAX_TAGS, "tags", tags, f"{_MAX_TAGS} tags at most")
    is_note = isinstance(note, str) and len(note) <= _MAX_NOTE_LENGTH and note.isprintable()
    require(is_note, "note", note, f"one line of {_MAX_NOTE_LENGTH} characters at most, without control characters")


def set_tags(run: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Replaces the given ones of a run's tags and note, and returns all that it has now.

    Raises UserError where `run` is not a run's folder.
    """
    if not RunFolder(run).record():
        raise UserError(f"{run}: not a run's folder: it has no run.json")
    kept = {key: value for key, value in (tags_of(run) | values).items() if value}
    if kept:
        write_json(run / TAGS_FILE, kept)
    else:
        (run / TAGS_FILE).unlink(missing_ok=True)
    return kept


def copy_tags(source: Path, target: Path) -> None:
    """Gives the run in `target` the tags and the note of the run in `source`."""
    if given := tags_of(source):
        write_json(target / TAGS_FILE, given)


def tags_of(run: Path) -> dict[str, Any]:
    """The keys `tags` and `note` of a run, as far as it has them. Warns of a damaged file, and leaves it out."""
    try:
        values = json.loads(read_text(run / TAGS_FILE))
        if not isinstance(values, dict):
            raise ValueError("not a dictionary")
        values = {key: values[key] for key in TAG_KEYS if values.get(key)}
        _check(values)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, UserError) as error:
        log.warning("%s: left out (%s): set tags= and note= again", run / TAGS_FILE, error)
        return {}
    return values
