"""Metrics of whole numbers, from a reader's logits `[N, T, 11]`: ten digits and the blank at each of T places.

The logits are those of connectionist temporal classification (CTC): a path has one symbol at each place, and its number
is what is left without repeated symbols and blanks (Graves et al. 2006, doi.org/10.1145/1143844.1143891).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from housenumbers.metrics.beam_search import search_numbers
from housenumbers.metrics.classes import CLASSES

BLANK = CLASSES  # the last of the symbols
SYMBOLS = CLASSES + 1
MAX_DIGITS = 6  # of a number: the most that a photo of SVHN shows
NO_DIGIT = -1  # fills the columns after a number's last digit


def negative_log_likelihoods(logits: Tensor, numbers: Tensor, zero_infinity: bool = False) -> Tensor:
    """The negative log-likelihood, `[N]` in nats, of each number `[N, L]`: its probability is a sum over all paths.

    It is infinite for a number that needs more places than there are, or 0 without a gradient with `zero_infinity`.
    Computed on the CPU: torch's CUDA kernel adds gradients in a random order.
    """
    log_probs = logits.float().cpu().log_softmax(dim=2).transpose(0, 1)
    targets, lengths = numbers.clamp(min=0).cpu(), number_lengths(numbers).cpu()
    places = torch.full((len(targets),), logits.shape[1])
    losses = F.ctc_loss(log_probs, targets, places, lengths, BLANK, reduction="none", zero_infinity=zero_infinity)
    return losses.to(logits.device)


def number_lengths(numbers: Tensor) -> Tensor:
    """The number of digits, `[N]`, of numbers `[N, L]` that have NO_DIGIT after their last one."""
    return (numbers != NO_DIGIT).sum(dim=1)


def read_numbers(logits: Tensor) -> Tensor:
    """The most probable number of each image, `[N, L]`: the digits, then NO_DIGIT. L is 6 or more.

    That of the most probable path, where it is more probable than all others together. Else a beam search finds it.
    """
    numbers = _numbers_of_paths(logits.argmax(dim=2))
    if not len(numbers):
        return numbers
    unsure = ((-negative_log_likelihoods(logits, numbers)).exp() <= 0.5).nonzero()[:, 0]
    if len(unsure):
        found = search_numbers(logits[unsure], NO_DIGIT).to(logits.device)
        width = max(numbers.shape[1], found.shape[1])
        numbers = F.pad(numbers, (0, width - numbers.shape[1]), value=NO_DIGIT)
        numbers[unsure] = F.pad(found, (0, width - found.shape[1]), value=NO_DIGIT)
    return numbers


def digit_confidences(logits: Tensor) -> list[list[float]]:
    """The probability of each digit that `read_numbers` returns, per image: its maximum over the digit's places."""
    numbers, paths = read_numbers(logits), logits.argmax(dim=2)
    of_paths = F.pad(_numbers_of_paths(paths), (0, numbers.shape[1]), value=NO_DIGIT)[:, : numbers.shape[1]]
    for image in (of_paths != numbers).any(dim=1).nonzero()[:, 0].tolist():
        number = [digit for digit in numbers[image].tolist() if digit != NO_DIGIT]
        paths[image] = torch.tensor(_best_path(logits[image].log_softmax(dim=1).tolist(), number))
    probabilities = logits.softmax(dim=2).gather(2, paths[:, :, None])[:, :, 0]
    which = _begins_digit(paths).cumsum(dim=1)
    confidences: list[list[float]] = []
    for row, digit, symbol in zip(probabilities.tolist(), which.tolist(), paths.tolist(), strict=True):
        best = [0.0] * (digit[-1] if digit else 0)
        for value, number, name in zip(row, digit, symbol, strict=True):
            if name != BLANK:
                best[number - 1] = max(best[number - 1], value)
        confidences.append(best)
    return confidences


def number_confidence(logits: Tensor) -> Tensor:
    """The probability, `[N]`, of the number that `read_numbers` returns, over all paths."""
    return (-negative_log_likelihoods(logits, read_numbers(logits))).exp()


def correct_numbers(logits: Tensor, numbers: Tensor) -> Tensor:
    """Whether each number is read without a wrong, missed or added digit, bool `[N]`."""
    read = read_numbers(logits)
    padded = F.pad(numbers, (0, read.shape[1] - numbers.shape[1]), value=NO_DIGIT)
    return (read == padded).all(dim=1)


def as_strings(numbers: Tensor) -> list[str]:
    """Numbers `[N, L]` as text. A number without digits is empty."""
    return ["".join(str(digit) for digit in row if digit != NO_DIGIT) for row in numbers.tolist()]


def number_scores(logits: Tensor, numbers: Tensor) -> dict[str, Any]:
    """`accuracy` (whole numbers right), `loss`, `n`, `digit_error_rate` and, of digits, accuracy and confusion.

    `loss` is the mean over the numbers, in nats. `digit_error_rate` is the sum of edit distances (Levenshtein) over the
    number of true digits, null without digits. `accuracy_by_length` is the accuracy of numbers of 0, 1, ... digits, and
    `per_class_accuracy` that of the ten digits, null where there is none. `confusion[i][j]` counts digits i that were
    read as j, aligned by the least edits; `digits_missed` and `digits_added` count the digits without a partner.
    """
    right = correct_numbers(logits, numbers)
    lengths = number_lengths(numbers)
    confusion = [[0] * CLASSES for _ in range(CLASSES)]
    missed = [0] * CLASSES
    added = 0
    for true, read in zip(as_strings(numbers), as_strings(read_numbers(logits)), strict=True):
        for old, new in aligned(true, read):
            if new is None:
                missed[int(old or 0)] += 1
            elif old is None:
                added += 1
            else:
                confusion[int(old)][int(new)] += 1
    digits = int(lengths.sum())
    hits = [confusion[digit][digit] for digit in range(CLASSES)]
    of_digit = [sum(row) + left_out for row, left_out in zip(confusion, missed, strict=True)]
    return {
        "accuracy": float(right.double().mean()),
        "loss": float(negative_log_likelihoods(logits, numbers).double().mean()),
        "n": len(numbers),
        "digit_error_rate": (digits - sum(hits) + added) / digits if digits else None,
        "accuracy_by_length": [_mean(right[lengths == length]) for length in range(MAX_DIGITS + 1)],
        "per_class_accuracy": [hit / count if count else None for hit, count in zip(hits, of_digit, strict=True)],
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


def _numbers_of_paths(symbols: Tensor) -> Tensor:
    """The numbers, `[N, L]`, of paths `[N, T]`."""
    is_digit = _begins_digit(symbols)
    width = max(MAX_DIGITS, int(is_digit.sum(dim=1).amax())) if len(symbols) else MAX_DIGITS
    numbers = torch.full((len(symbols), width), NO_DIGIT, device=symbols.device)
    rows, places = is_digit.nonzero(as_tuple=True)
    numbers[rows, is_digit.cumsum(dim=1)[rows, places] - 1] = symbols[rows, places]
    return numbers


def _best_path(log_probs: Sequence[Sequence[float]], number: Sequence[int]) -> list[int]:
    """The most probable path of a number that has one (Viterbi 1967): a symbol at each place."""
    symbols = [BLANK]
    for digit in number:
        symbols += [digit, BLANK]
    totals = [0.0, *(-math.inf for _ in symbols[1:])]  # of the best path to each of them; all paths begin at the first
    came_from: list[list[int]] = []
    for at_place in log_probs:
        steps = [_best_step(totals, symbols, here) for here in range(len(symbols))]
        totals = [totals[step] + at_place[symbol] for step, symbol in zip(steps, symbols, strict=True)]
        came_from.append(steps)
    here = max(range(max(0, len(symbols) - 2), len(symbols)), key=lambda end: totals[end])
    path = []
    for steps in reversed(came_from):
        path.append(symbols[here])
        here = steps[here]
    return path[::-1]


def _best_step(totals: Sequence[float], symbols: Sequence[int], here: int) -> int:
    """Which symbol a path to this one was at before: at it, at the one before, or a blank ago at another digit."""
    may_skip = here > 1 and symbols[here] not in (BLANK, symbols[here - 2])
    return max(range(max(0, here - 1 - may_skip), here + 1), key=lambda step: totals[step])


def _begins_digit(symbols: Tensor) -> Tensor:
    """Whether a digit begins at each place of the paths `[N, T]`, after another symbol. Bool `[N, T]`."""
    begins = torch.ones_like(symbols, dtype=torch.bool)
    begins[:, 1:] = symbols[:, 1:] != symbols[:, :-1]
    return begins & (symbols != BLANK)


def _mean(right: Tensor) -> float | None:
    return float(right.double().mean()) if len(right) else None
