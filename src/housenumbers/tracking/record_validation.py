"""Validates a run's records when they are read, since other programs or the user may have changed them."""

import math
from collections.abc import Mapping
from types import NoneType
from typing import Any

from housenumbers.runtime.errors import UserError

EPOCH_KEYS = ("epoch", "train_loss", "val_loss", "val_accuracy", "lr", "seconds")
_ABSENT = {"val_loss", "val_accuracy"}  # null without validation
_MAX_DEPTH = 50
TEMPERATURES = (1e-3, 1e3)  # fitted ones lie from 0.05 to 20
_SCORE_KEYS = {
    "best": ("epoch", "val_accuracy", "val_loss"),
    "test": ("n", "accuracy"),
    "calibration": ("temperature", "n"),
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("status", "name", "started", "run_id", "cpu", "device"), str),
    **dict.fromkeys(("data_sha256", "weights_sha256", "best_weights_sha256"), str),
    **dict.fromkeys(("config", "versions", "arithmetic"), dict),
    **dict.fromkeys(("seed", "threads", "world_size", "epochs", "parameters"), int),
    **dict.fromkeys(("error", "test_sha256", "git_commit", "pretrained_sha256", "lock_sha256"), (str, NoneType)),
    **dict.fromkeys(("trial", "best", "test", "calibration"), (dict, NoneType)),
    "conditions_mixed": bool,
}
RECORD_KEYS = {*_TYPES, "host", "process", "train_seconds"}  # of `run.json`
# The nested keys that are read, and their types.
_WITHIN: dict[str, dict[str, type | tuple[type, ...]]] = {
    "config": {"data": dict, "objective": (str, list)},
    "trial": {"study": str},
}


def is_number(value: Any) -> bool:
    """Whether the value is a finite number in the range of float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer of hundreds of digits
        return False


def is_deep(value: Any) -> bool:
    """Whether lists and dictionaries are nested too deeply: the json module may read such values but not write them."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        if not level:
            return False
        nested = [item for item in level if isinstance(item, dict | list)]
        level = [child for item in nested for child in (item.values() if isinstance(item, dict) else item)]
    return bool(level)


def checked_history(records: Any, source: str) -> list[dict[str, Any]]:
    """The records, one per epoch from the first, without gaps. Raises UserError, which names `source`, otherwise.

    A record has EPOCH_KEYS and the values of custom metrics, `val_NAME`. Other keys are left out.
    """
    damaged = UserError(f"{source}: damaged (not a record of numbers for each epoch): restore it from a backup")
    if not isinstance(records, list) or not records:
        raise damaged
    history = []
    for number, record in enumerate(records, 1):
        if not isinstance(record, Mapping) or not all(key in record for key in EPOCH_KEYS):
            raise damaged
        custom = {key for key in record if str(key).startswith("val_")} - _ABSENT
        values = {key: value for key, value in record.items() if key in custom or key in EPOCH_KEYS}
        may_be_absent = custom | _ABSENT
        valid_types = all(is_number(value) or (value is None and key in may_be_absent) for key, value in values.items())
        if not valid_types or values["epoch"] != number or values["seconds"] <= 0:
            raise damaged
        history.append(values)
    with_validation = {record[key] is not None for record in history for key in _ABSENT}
    if len(with_validation) > 1:
        raise damaged
    return history


def check_record(record: Any, source: str) -> dict[str, Any]:
    """The run's record, unchanged. Raises UserError, which names `source`, where a value has a wrong type.

    All keys may be absent. Unknown keys are ignored.
    """
    if not isinstance(record, dict) or is_deep(record):
        raise UserError(f"{source}: not a run's record: restore it from a backup")
    expected = [(key, record[key], kind) for key, kind in _TYPES.items() if key in record]
    for name, kinds in _WITHIN.items():
        section = record.get(name)
        if isinstance(section, dict):
            expected += [(f"{name}.{key}", section[key], kind) for key, kind in kinds.items() if key in section]
    for key, value, kind in expected:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
            raise UserError(f"{source}: damaged ({key} is of another type): restore it from a backup")
    _check_scores(record, source)
    check_calibration(record.get("calibration"), source)
    return record


def _check_scores(record: Mapping[str, Any], source: str) -> None:
    """Raises UserError, which names `source`, where scores or seconds in a run's record are not numbers."""
    numbers = {"train_seconds": record["train_seconds"]} if record.get("train_seconds") is not None else {}
    for name, keys in _SCORE_KEYS.items():
        scores = record.get(name)
        if scores is not None:
            numbers |= {f"{name}.{key}": scores.get(key) if isinstance(scores, Mapping) else None for key in keys}
    if (whole := (record.get("test") or {}).get("numbers")) is not None:
        read = whole if isinstance(whole, Mapping) else {}
        numbers["test.numbers.n"] = read.get("n")
        if read.get("n") != 0:  # without a whole number the accuracy is null
            numbers["test.numbers.accuracy"] = read.get("accuracy")
    if invalid := [name for name, value in numbers.items() if not is_number(value)]:
        raise UserError(f"{source}: damaged ({invalid[0]} is not a number): restore it from a backup")


def check_calibration(calibration: Any, source: str) -> None:
    """Raises UserError, which names `source`, where a calibration is given and its temperature is out of range."""
    if calibration is None:
        return
    _check_scores({"calibration": calibration}, source)
    low, high = TEMPERATURES
    if not low <= calibration["temperature"] <= high:
        raise UserError(
            f"{source}: damaged (calibration.temperature is not from {low:g} to {high:g}): restore it from a backup"
        )
