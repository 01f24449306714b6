"""Queries on the history of a run, one record per epoch. There is no other state, so resuming needs no more."""

from collections.abc import Sequence
from typing import Any

from housenumbers.config.sections import EarlyStoppingConfig

Record = dict[str, Any]  # epoch, train_loss, val_loss, val_accuracy (both null without validation), lr, seconds


def best_record(history: Sequence[Record], by: str) -> Record | None:
    """The epoch with the highest `val_accuracy` (then the lowest `val_loss`), or by "val_loss" the lowest loss.

    The first of equal epochs. By "last" the last one. None without validation.
    """
    if not history or history[0]["val_loss"] is None:
        return None
    if by == "last":
        return history[-1]
    if by == "val_loss":
        return min(history, key=lambda record: record["val_loss"])
    return max(history, key=lambda record: (record["val_accuracy"], -record["val_loss"]))


def best_or_last(history: Sequence[Record], by: str) -> Record:
    """`best_record`, or without validation the last record. The history must not be empty."""
    return best_record(history, by) or history[-1]


def should_stop(history: Sequence[Record], config: EarlyStoppingConfig) -> bool:
    """True if none of the last `patience` epochs improved by more than `improvement` percent.

    An epoch is compared with the last one that did, or with `start_epoch` if none has.
    """
    if not config.enabled:
        return False
    reference, waited = None, 0
    for record in history[config.start_epoch - 1 :]:
        value = record[config.monitor]
        if reference is None or _better(value, reference, config):
            reference, waited = value, 0
        else:
            waited += 1
    return waited >= config.patience


def _better(value: float, reference: float, config: EarlyStoppingConfig) -> bool:
    if config.monitor == "val_loss":
        return value < reference * (1 - config.improvement / 100)
    return value > reference * (1 + config.improvement / 100)
