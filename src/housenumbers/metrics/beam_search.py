"""The number with the highest probability over all paths of CTC, by a prefix beam search.

The most probable path belongs to another number where one number has many paths of middling probability. See Graves et
al. 2006 (doi.org/10.1145/1143844.1143891) for the prefix search, and Hannun et al. 2014 (arXiv:1408.2873) for the
search with a beam.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from housenumbers.metrics.classes import CLASSES

BEAM = 8  # prefixes that are kept at each place: with 16 none of 3,020 real numbers was read differently
_BASE = CLASSES + 1  # a prefix has an integer of this base as its name; the empty one has 0
_IMPOSSIBLE = -1e9  # a log probability; infinite ones would make differences nan


class _Prefixes(NamedTuple):
    """The beam: the beginnings of each image's number, `[N, BEAM]`, after some places."""

    ending_blank: Tensor  # the log probability of the prefix's paths that end in a blank
    ending_digit: Tensor  # of its paths that end in its last digit
    digits: Tensor  # [N, BEAM, T]
    length: Tensor
    last: Tensor  # the last digit, or the blank where there is none
    name: Tensor

    def log_probability(self) -> Tensor:
        return torch.logaddexp(self.ending_blank, self.ending_digit)


def search_numbers(logits: Tensor, no_digit: int, least_length: int = 0) -> Tensor:
    """The digits of the most probable numbers, int64 `[N, L]`, with `no_digit` after the last one.

    `logits` are `[N, T, 11]`, the blank last. The search is not exhaustive: it keeps the most probable prefixes.
    Numbers of fewer digits than `least_length` are left out.
    """
    log_probs = logits.double().cpu().log_softmax(dim=2)
    count, places, _ = log_probs.shape
    impossible = torch.full((count, BEAM), _IMPOSSIBLE, dtype=torch.double)
    none = torch.zeros(count, BEAM, dtype=torch.long)
    digits = torch.full((count, BEAM, places), no_digit)
    prefixes = _Prefixes(impossible.clone(), impossible, digits, none, torch.full_like(none, CLASSES), none)
    prefixes.ending_blank[:, 0] = 0.0
    for place in range(places):
        prefixes = _at_next_place(prefixes, log_probs[:, place])
    best = prefixes.log_probability().masked_fill(prefixes.length < least_length, -math.inf).argmax(dim=1)
    rows = torch.arange(count)
    longest = int(prefixes.length[rows, best].max()) if count else 0
    return prefixes.digits[rows, best, :longest]


def _at_next_place(old: _Prefixes, log_probs: Tensor) -> _Prefixes:
    """The most probable prefixes after one more place, whose symbols have these `log_probs`, `[N, 11]`."""
    # A prefix stays as it is by a blank, or by its last digit again.
    stays_blank = old.log_probability() + log_probs[:, CLASSES:]
    stays_digit = old.ending_digit + log_probs.gather(1, old.last)
    longer, names = _with_one_more_digit(old, log_probs)
    # Where a longer prefix is another one of the beam, it is counted there.
    same = names[:, :, None] == old.name[:, None, :]
    stays_digit = torch.logaddexp(stays_digit, torch.where(same, longer[:, :, None], _IMPOSSIBLE).logsumexp(dim=1))
    longer = longer.masked_fill(same.any(dim=2), _IMPOSSIBLE)

    scores = torch.cat([torch.logaddexp(stays_blank, stays_digit), longer], dim=1)
    kept = scores.topk(BEAM, dim=1).indices
    grows = kept >= BEAM
    child = (kept - BEAM).clamp(min=0)
    parent = torch.where(grows, child // CLASSES, kept)
    last = torch.where(grows, child % CLASSES, old.last.gather(1, parent))
    length = old.length.gather(1, parent)
    digits = old.digits.gather(1, parent[:, :, None].expand_as(old.digits))
    image, prefix = grows.nonzero(as_tuple=True)
    digits[image, prefix, length[image, prefix]] = last[image, prefix]
    return _Prefixes(
        ending_blank=torch.where(grows, _IMPOSSIBLE, stays_blank.gather(1, parent)),
        ending_digit=torch.where(grows, scores.gather(1, kept), stays_digit.gather(1, parent)),
        digits=digits,
        length=length + grows,
        last=last,
        name=torch.where(grows, names.gather(1, child), old.name.gather(1, parent)),
    )


def _with_one_more_digit(old: _Prefixes, log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """The log probabilities and the names of all prefixes with one more digit, `[N, BEAM * 10]`.

    Its last digit again needs a blank before it.
    """
    digits = torch.arange(CLASSES)
    again = old.last[:, :, None] == digits
    before = torch.where(again, old.ending_blank[:, :, None], old.log_probability()[:, :, None])
    names = old.name[:, :, None] * _BASE + digits + 1
    return (before + log_probs[:, None, :CLASSES]).flatten(1), names.flatten(1)
