"""Whole numbers from a reader's logits `[N, T, 11]`: ten digits and the blank at each of T places.

The logits are for connectionist temporal classification (CTC): a path has one symbol at each place, and its number
is what is left without repeated symbols and blanks (Graves et al. 2006, doi.org/10.1145/1143844.1143891).
"""

import math
from collections.abc import Sequence

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
    if not len(numbers):  # torch refuses it
        return logits.new_zeros(0, dtype=torch.float32)
    log_probs = logits.float().cpu().log_softmax(dim=2).transpose(0, 1)
    targets, lengths = numbers.clamp(min=0).cpu(), number_lengths(numbers).cpu()
    places = torch.full((len(targets),), logits.shape[1])
    losses = F.ctc_loss(log_probs, targets, places, lengths, BLANK, reduction="none", zero_infinity=zero_infinity)
    return losses.to(logits.device)


def divergence_from_uniform(logits: Tensor) -> Tensor:
    """KL(U || P), `[N]` in nats, summed over the places, of a uniform U and the probabilities P of a place's symbols.

    It is the label smoothing of CTC: Kim et al. 2018 (arXiv:1711.02212).
    """
    return (-logits.log_softmax(dim=2).mean(dim=2) - math.log(SYMBOLS)).sum(dim=1)


def number_lengths(numbers: Tensor) -> Tensor:
    """The number of digits, `[N]`, of numbers `[N, L]` that have NO_DIGIT after their last one."""
    return (numbers != NO_DIGIT).sum(dim=1)


def read_numbers(logits: Tensor) -> Tensor:
    """The most probable number of each image, `[N, L]`: the digits, then NO_DIGIT. L is 6 or more.

    That of the most probable path, where it is more probable than all others together. Else the best one that a beam
    search finds, if that is more probable. Unlike a class, it depends on the scale of the logits, the temperature.
    """
    numbers = _numbers_of_paths(logits.argmax(dim=2))
    if not len(numbers):
        return numbers
    losses = negative_log_likelihoods(logits, numbers)
    unsure = (losses >= math.log(2)).nonzero()[:, 0]
    if len(unsure):
        found = search_numbers(logits[unsure], NO_DIGIT).to(logits.device)
        better = negative_log_likelihoods(logits[unsure], found) < losses[unsure]
        width = max(numbers.shape[1], found.shape[1])
        numbers = _widened(numbers, width)
        numbers[unsure[better]] = _widened(found, width)[better]
    return numbers


def digit_confidences(logits: Tensor, numbers: Tensor) -> list[list[float]]:
    """The probability of each digit of the `numbers`, `[N, L]` with any L: its maximum over its places."""
    paths = logits.argmax(dim=2)
    of_paths = _numbers_of_paths(paths)
    width = max(of_paths.shape[1], numbers.shape[1])
    differs = (_widened(of_paths, width) != _widened(numbers, width)).any(dim=1)
    for image in differs.nonzero()[:, 0].tolist():
        number = [digit for digit in numbers[image].tolist() if digit != NO_DIGIT]
        paths[image] = torch.tensor(_best_path(logits[image].float().log_softmax(dim=1).tolist(), number))
    probabilities = logits.float().softmax(dim=2).gather(2, paths[:, :, None])[:, :, 0]
    which = _begins_digit(paths).cumsum(dim=1)
    confidences: list[list[float]] = []
    for row, digit, symbol in zip(probabilities.tolist(), which.tolist(), paths.tolist(), strict=True):
        best = [0.0] * (digit[-1] if digit else 0)
        for value, number, name in zip(row, digit, symbol, strict=True):
            if name != BLANK:
                best[number - 1] = max(best[number - 1], value)
        confidences.append(best)
    return confidences


def number_confidence(logits: Tensor, numbers: Tensor) -> Tensor:
    """The probability, `[N]`, of the `numbers` that `read_numbers` returns, over all paths."""
    return (-negative_log_likelihoods(logits, numbers)).exp()


def pooled_numbers(views: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Each image's number with the highest mean probability over its views, whose logits are `[N, T, 11]` with any T.

    Returns the numbers `[N, L]`, their mean probabilities `[N]` and, for each, the index of the view in which it is
    most probable, `[N]`. The candidates are the numbers that `read_numbers` returns for a view.
    """
    read = [read_numbers(logits) for logits in views]
    width = max(numbers.shape[1] for numbers in read)
    candidates = torch.stack([_widened(numbers, width) for numbers in read])
    probabilities = torch.stack([torch.stack([number_confidence(view, one) for view in views]) for one in candidates])
    confidences, best = probabilities.mean(dim=1).max(dim=0)  # over the views, then over the candidates
    images = torch.arange(len(best), device=best.device)
    return candidates[best, images], confidences, probabilities[best, :, images].argmax(dim=1)


def confidence_with_digits(logits: Tensor) -> Tensor:
    """The probability, `[N]`, of the most probable number that has a digit."""
    return number_confidence(logits, search_numbers(logits, NO_DIGIT, least_length=1).to(logits.device))


def correct_numbers(logits: Tensor, numbers: Tensor) -> Tensor:
    """Whether each number is read without a wrong, missed or added digit, bool `[N]`."""
    read = read_numbers(logits)
    width = max(read.shape[1], numbers.shape[1])
    return (_widened(read, width) == _widened(numbers, width)).all(dim=1)


def as_strings(numbers: Tensor) -> list[str]:
    """Numbers `[N, L]` as text. A number without digits is empty."""
    return ["".join(str(digit) for digit in row if digit != NO_DIGIT) for row in numbers.tolist()]


def _widened(numbers: Tensor, width: int) -> Tensor:
    return F.pad(numbers, (0, width - numbers.shape[1]), value=NO_DIGIT)


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
    """The symbol before this one on the best path: itself, the one before it, or the digit before a skipped blank."""
    may_skip = here > 1 and symbols[here] not in (BLANK, symbols[here - 2])
    return max(range(max(0, here - 1 - may_skip), here + 1), key=lambda step: totals[step])


def _begins_digit(symbols: Tensor) -> Tensor:
    """Whether a digit begins at each place of the paths `[N, T]`, after another symbol. Bool `[N, T]`."""
    begins = torch.ones_like(symbols, dtype=torch.bool)
    begins[:, 1:] = symbols[:, 1:] != symbols[:, :-1]
    return begins & (symbols != BLANK)
