"""Scores of whole numbers: how many are read right, and what happened to the digits of the others."""

from collections import Counter
from typing import Any

import torch
from torch import Tensor

from housenumbers.metrics.classes import CLASSES, fraction
from housenumbers.metrics.numbers import MAX_DIGITS, as_strings, negative_log_likelihoods, number_lengths, read_numbers


def number_scores(logits: Tensor, numbers: Tensor, temperature: float = 1.0) -> dict[str, Any]:
    """`accuracy` (whole numbers right), `loss`, `n`, `digit_error_rate` and, of digits, accuracy and confusion.

    Numbers are read at the `temperature`; `loss` is the mean over the numbers, in nats, without it. `digit_error_rate`
    is the sum of edit distances (Levenshtein) over the number of true digits, null without digits.
    `accuracy_by_length` is the accuracy of numbers of 0, 1, ... digits, and `per_class_accuracy` that of the ten
    digits, null where there is none. `confusion[i][j]` counts digits i that were read as j, aligned by the least edits;
    `digits_missed` and `digits_added` count the digits without a partner.
    """
    read_texts, true_texts = as_strings(read_numbers(logits / temperature)), as_strings(numbers)
    right = torch.tensor([true == read for true, read in zip(true_texts, read_texts, strict=True)])
    lengths = number_lengths(numbers).cpu()
    pairs = Counter(pair for texts in zip(true_texts, read_texts, strict=True) for pair in aligned(*texts))
    names = [str(digit) for digit in range(CLASSES)]
    confusion = [[pairs[true, read] for read in names] for true in names]
    missed, added = [pairs[name, None] for name in names], sum(pairs[None, name] for name in names)
    digits = int(lengths.sum())
    hits = [pairs[name, name] for name in names]
    return {
        "accuracy": float(right.double().mean()),
        "loss": float(negative_log_likelihoods(logits, numbers, zero_infinity=True).double().mean()),
        "n": len(numbers),
        "digit_error_rate": fraction(digits - sum(hits) + added, digits),
        "accuracy_by_length": [_mean(right[lengths == length]) for length in range(MAX_DIGITS + 1)],
        "per_class_accuracy": [
            fraction(hit, sum(row) + left_out) for hit, row, left_out in zip(hits, confusion, missed, strict=True)
        ],
        "confusion": confusion,
        "digits_missed": sum(missed),
        "digits_added": added,
    }


def edit_distance(true: str, read: str) -> int:
    """The least number of digits to replace, add or leave out (Levenshtein 1966)."""
    return sum(old != new for old, new in aligned(true, read))


def aligned(true: str, read: str) -> list[tuple[str | None, str | None]]:
    """Pairs of a digit of `true` and one of `read`, from the left, with the least edits.

    None stands where a digit has no partner: (digit, None) was missed, (None, digit) was added.
    """
    costs = [[i + j for j in range(len(read) + 1)] for i in range(len(true) + 1)]
    for i, old in enumerate(true, 1):
        for j, new in enumerate(read, 1):
            costs[i][j] = min(costs[i - 1][j - 1] + (old != new), costs[i - 1][j] + 1, costs[i][j - 1] + 1)
    pairs: list[tuple[str | None, str | None]] = []
    i, j = len(true), len(read)
    while i or j:
        if i and j and costs[i][j] == costs[i - 1][j - 1] + (true[i - 1] != read[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((true[i], read[j]))
        elif i and costs[i][j] == costs[i - 1][j] + 1:
            i -= 1
            pairs.append((true[i], None))
        else:
            j -= 1
            pairs.append((None, read[j]))
    return pairs[::-1]


def _mean(right: Tensor) -> float | None:
    return float(right.double().mean()) if len(right) else None
