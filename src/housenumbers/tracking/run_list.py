"""The list of runs: what each run's `run.json` says at the time of the call.

Runs write no common file, so parallel runs cannot lose or corrupt entries.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from housenumbers.config.messages import TYPE_NAMES, as_typed, either, unknown_key_message, value_message
from housenumbers.config.schema import known_keys
from housenumbers.config.sections import is_target
from housenumbers.config.values import flatten
from housenumbers.runtime.errors import UserError, os_error_message
from housenumbers.runtime.fast_process import without_garbage_collection
from housenumbers.runtime.installation import CONF
from housenumbers.runtime.text import closest_ignoring_case
from housenumbers.tracking.record_cache import RecordCache, Stamp, folders_with_record
from housenumbers.tracking.record_validation import RECORD_KEYS
from housenumbers.tracking.run_folder import FINISHED, RunFolder
from housenumbers.tracking.tags import TAG_KEYS, TAGS_FILE, tags_of

RUN_ROOTS = (Path("outputs"), Path("multirun"))
STATUSES = (*FINISHED, "running", "interrupted", "failed", "damaged", "unreadable")
_MAX_CELL_WIDTH = 40  # characters in a cell of the table
_ABSENT = object()


@without_garbage_collection()  # halves the time to read many records
def all_runs(roots: Iterable[Path] = RUN_ROOTS) -> list[dict[str, Any]]:
    """The records of all runs below `roots`, each with its `folder`, tags and note, best validation accuracy first.

    Damaged records have the status "damaged", and files without read permission the status "unreadable".
    """
    runs = []
    for root in roots:
        cache = RecordCache(root)
        for folder, stamp, names in folders_with_record(root):
            given = tags_of(Path(folder)) if TAGS_FILE in names else {}
            runs.append(_run(cache, folder, stamp) | given | {"folder": folder})
        cache.save()
    return sorted(runs, key=lambda run: (-_accuracy(run), str(run["folder"])))


def _run(cache: RecordCache, folder: str, stamp: Stamp) -> dict[str, Any]:
    """The record of a run, from the cache where that has it, with the present status."""
    try:
        record = cache.get(folder, stamp)
        if record is None:
            record = RunFolder(Path(folder)).record()
            cache.add(folder, stamp, record)
        status = record.get("status")
        return record if status in FINISHED else record | {"status": RunFolder(Path(folder)).status(record)}
    except UserError as error:
        return {"status": "damaged", "error": str(error)}
    except OSError as error:
        if (explanation := os_error_message(error)) is None:
            raise
        return {"status": "unreadable", "error": explanation}


def matches(run: Mapping[str, Any], filters: Sequence[str]) -> bool:
    """Whether all KEY=VALUE `filters` match. KEY is a dotted key of the record or of its configuration.

    `data=svhn` means `data.name=svhn`, and `optimizer=adam` the target of this option. `folder` may be any path of the
    folder. A list matches a value in it, and `[A,B]` if it has these values and no others.
    """
    pairs = (word.partition("=") for word in filters)
    return all(_has(run, key, value) for key, _, value in pairs)


def _has(run: Mapping[str, Any], key: str, wanted: str) -> bool:
    if key == "folder":
        return os.path.realpath(run["folder"]) == os.path.realpath(wanted)
    value = find_value(run, key)
    if isinstance(value, Mapping) and "name" not in value:
        return _is_option(value, key.removeprefix("config."), wanted)
    return _matches(value, wanted)


def _is_option(section: Mapping[str, Any], group: str, option: str) -> bool:
    """Whether a section that has no name has the method or the target of an option in conf/, or an entry so named."""
    if all(map(is_target, section.values())):  # loggers, metrics, callbacks
        return _matches(list(section) or ["none"], option)
    identity = _identities(group).get(option)
    return identity is not None and identity in (section.get("method"), section.get("_target_"))


@cache
def _identities(group: str) -> dict[str, str]:
    """What a run's configuration keeps of the choice of an option in conf/GROUP/: its method or target, by its name."""
    contents: dict[str, Any] = {file.stem: OmegaConf.load(file) for file in (CONF / group).glob("*.yaml")}
    identities = {name: content.get("method") or content.get("_target_") for name, content in contents.items()}
    return {name: str(identity) for name, identity in identities.items() if identity is not None}


def _matches(value: Any, wanted: str) -> bool:
    if not isinstance(value, list):
        return _equal(_text(value), wanted)
    if wanted.startswith("[") and wanted.endswith("]"):
        items = [item.strip() for item in wanted[1:-1].split(",")] if wanted != "[]" else []
        return len(items) == len(value) and all(map(_equal, map(_text, value), items))
    return any(_equal(_text(item), wanted) for item in value)


def check_filters(runs: Sequence[Mapping[str, Any]], filters: Sequence[str]) -> None:
    """Raises UserError for a filter that no run can match.

    Its key is neither in a run's record nor in its configuration, or cannot have this value.
    """
    for filter_ in filters:
        key, _, value = filter_.partition("=")
        if not key.strip():
            raise UserError(f"{filter_}: has no key: write KEY=VALUE")
        _check_key(runs, key)
        if not any(matches(run, [filter_]) for run in runs):  # records of other versions may have other values
            _check_value(key, value)
            _check_option(key.removeprefix("config."), value)
            if any(matches(run, [f"config.{filter_}"]) for run in runs):
                raise UserError(f"{filter_}: no run.json has it: config.{filter_} compares the configuration")


def _check_key(runs: Sequence[Mapping[str, Any]], key: str) -> None:
    known = {*known_keys(), *TAG_KEYS, *RECORD_KEYS, "folder"}
    # The keys below a section are not known while no run has it: `best` before an epoch has ended.
    section = key.partition(".")[0]
    with_values = {key for run in runs for key, value in run.items() if value is not None}
    below_unknown = _is_among(section, known) if not runs else section in RECORD_KEYS - with_values
    if not below_unknown and not _is_among(key, known) and not any(_has_key(run, key) for run in runs):
        for run in runs:
            known.update(flatten(run), flatten(run.get("config") or {}))
        raise UserError(unknown_key_message(key, known))


def _check_value(key: str, value: str) -> None:
    if key == "status" and value not in STATUSES:
        raise UserError(f"status={value}: must be {either(STATUSES)}")
    key = key.removeprefix("config.")
    kind, _, null = known_keys().get(key, "").partition(", or ")
    if not (null and value == "null") and not _POSSIBLE.get(kind, lambda _: True)(value):
        raise UserError(value_message(key, value, known_keys()))


def _check_option(group: str, value: str) -> None:
    """Raises UserError where the value is probably a misspelt option, or the option's name is not in a run's record.

    Other names may be options of your own.
    """
    options = [file.stem for file in (CONF / group).glob("*.yaml")]
    below = [key for key in known_keys() if key.startswith(f"{group}.")]
    if below and f"{group}.name" not in below and not _identities(group):
        raise UserError(f"{group}={value}: is a section with keys: use one of {', '.join(below)}")
    near = closest_ignoring_case(value, options, 0.9)
    if near and value not in options:
        raise UserError(f"{group}={value}: no run has it: did you mean {near}?")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


# Whether a text can be a value of each of these kinds of keys.
_POSSIBLE: dict[str, Callable[[str], bool]] = {
    TYPE_NAMES[float]: _is_number,
    TYPE_NAMES[int]: lambda text: _is_number(text) and float(text).is_integer(),
    TYPE_NAMES[bool]: lambda text: text.lower() in ("true", "false"),
}


def _is_among(key: str, known: Iterable[str]) -> bool:
    return any(other == key or other.startswith(f"{key}.") for other in known)


def _has_key(run: Mapping[str, Any], key: str) -> bool:
    """Whether a dotted key is in the record or in its configuration, perhaps with the value null."""
    return any(_select(values, key) is not _ABSENT for values in (run, run.get("config")))


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """The runs as a text table with aligned columns and a header."""
    given = [key for key in TAG_KEYS if any(run.get(key) for run in runs)]
    rows = [["accuracy", "test", "seconds", "status", "name", "model", "data", "seed", *given, "folder"]]
    for run in runs:
        best, test, seconds = run.get("best"), run.get("test"), run.get("train_seconds")
        rows.append(
            [
                f"{best['val_accuracy']:.2%}" if best else "-",
                f"{test['accuracy']:.2%}" if test else "-",
                f"{seconds:.1f}" if seconds is not None else "-",
                *(_text(find_value(run, key) or "-") for key in ("status", "name", "model", "data")),
                _text(find_value(run, "seed") if "seed" in run else "-"),
                *(_text(run.get(key) or "-") for key in given),
                str(run["folder"]),
            ]
        )
    rows = [[_cell(text) for text in row[:-1]] + [_printable(row[-1])] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def caption(run: Mapping[str, Any]) -> str:
    """The run in one line, for a selection list."""
    best = run.get("best")
    texts = [_text(find_value(run, key) or "-") for key in ("name", "model", "data")]
    texts += [f"{100 * best['val_accuracy']:.2f} % of validation"] if best else []
    return ", ".join([*map(_cell, texts), _printable(str(run["folder"]))])


def newest_run(wanted: str, roots: Sequence[Path] = RUN_ROOTS) -> Path:
    """The folder of the most recently started run, without trials of sweeps. Raises UserError where there is none."""
    runs = [run for run in all_runs(roots) if run.get("trial") is None and "config" in run]
    if not runs:
        raise UserError(f"{wanted}: no run below {' or '.join(map(str, roots))}: name a run's folder")
    return Path(max(runs, key=lambda run: str(run.get("started", "")))["folder"])


def _cell(text: str) -> str:
    """The text in one line, truncated to the column width."""
    text = _printable(text)
    return text if len(text) <= _MAX_CELL_WIDTH else f"{text[: _MAX_CELL_WIDTH - 1]}…"


def _printable(text: str) -> str:
    """Escapes line breaks, control characters and bytes that are not UTF-8, which file names may contain."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def _accuracy(run: Mapping[str, Any]) -> float:
    best = run.get("best")
    return best["val_accuracy"] if best else -math.inf


def find_value(run: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key in the record or, if absent, in its configuration."""
    values = (_select(values, key) for values in (run, run.get("config")))
    return next((value for value in values if value is not None and value is not _ABSENT), None)


def _select(values: Any, key: str) -> Any:
    """The value of a dotted key in nested values, or _ABSENT."""
    for word in key.split("."):
        values = values.get(word, _ABSENT) if isinstance(values, Mapping) else _ABSENT
    return values


def _equal(text: str, wanted: str) -> bool:
    if text in ("true", "false"):
        return text == wanted.lower()  # Python writes True
    try:
        return text == wanted or float(text) == float(wanted)
    except ValueError:
        return False


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name", value))
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return as_typed(value)
