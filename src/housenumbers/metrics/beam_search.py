"""The number with the highest probability over all paths of CTC, by a prefix beam search.

The most probable path belongs to another number where one number has many paths of middling probability. See Graves et
al. 2006 (doi.org/10.1145/1143844.1143891) for the prefix search, and Hannun et al. 2014 (arXiv:1408.2873) for the
search with a beam.
"""

import torch
from torch import Tensor

from housenumbers.metrics.classes import CLASSES

BEAM = 8  # prefixes that are kept at each place: with 16 none of 3,020 real numbers was read differently
_BASE = CLASSES + 1  # prefixes are told apart by an integer of this base, the empty one by 0
_IMPOSSIBLE = -1e9  # a log probability; infinite ones would make differences nan


def search_numbers(logits: Tensor, no_digit: int) -> Tensor:
    """The digits of the most probable numbers, int64 `[N, L]`, with `no_digit` after the last one.

    `logits` are `[N, T, 11]`, the blank last. The search is not exhaustive: it keeps the most probable prefixes.
    """
    log_probs = logits.double().cpu().log_softmax(dim=2)
    count, places, symbols = log_probs.shape
    blank = symbols - 1
    # Of each prefix: the log probability of its paths that end in a blank, and of those that end in its last digit.
    ending_blank = torch.full((count, BEAM), _IMPOSSIBLE, dtype=torch.double)
    ending_digit = ending_blank.clone()
    ending_blank[:, 0] = 0.0
    digits = torch.full((count, BEAM, places), no_digit)
    length = torch.zeros(count, BEAM, dtype=torch.long)
    last = torch.full((count, BEAM), blank)
    name = torch.zeros(count, BEAM, dtype=torch.long)
    for place in range(places):
        at_place = log_probs[:, place]
        either = torch.logaddexp(ending_blank, ending_digit)
        # A prefix that stays as it is, by a blank or by its last digit again.
        stays_blank = either + at_place[:, blank:]
        stays_digit = ending_digit + at_place.gather(1, last)
        # A prefix with one more digit. The same digit again needs a blank before it.
        longer = either[:, :, None].expand(-1, -1, blank).clone()
        has_last = last != blank
        longer.scatter_(
            2, last.clamp(max=blank - 1)[:, :, None], torch.where(has_last, ending_blank, either)[:, :, None]
        )
        longer = longer + at_place[:, None, :blank]
        names = name[:, :, None] * _BASE + torch.arange(1, blank + 1)
        # Where that is another prefix of the beam, its probability is added there.
        same = names.flatten(1)[:, :, None] == name[:, None, :]
        arriving = torch.where(same, longer.flatten(1)[:, :, None], _IMPOSSIBLE).logsumexp(dim=1)
        stays_digit = torch.logaddexp(stays_digit, arriving)
        longer = longer.flatten(1).masked_fill(same.any(dim=2), _IMPOSSIBLE)

        scores = torch.cat([torch.logaddexp(stays_blank, stays_digit), longer], dim=1)
        kept = scores.topk(BEAM, dim=1).indices
        grows = kept >= BEAM
        parent = torch.where(grows, (kept - BEAM) // blank, kept)
        digit = torch.where(grows, (kept - BEAM) % blank, last.gather(1, parent))
        ending_blank = torch.where(grows, _IMPOSSIBLE, stays_blank.gather(1, parent))
        ending_digit = torch.where(grows, scores.gather(1, kept), stays_digit.gather(1, parent))
        digits = digits.gather(1, parent[:, :, None].expand(-1, -1, places))
        length = length.gather(1, parent)
        grown = grows.nonzero(as_tuple=True)
        digits[(*grown, length[grown])] = digit[grown]
        length, last = length + grows, digit
        name = torch.where(grows, names.flatten(1).gather(1, (kept - BEAM).clamp(min=0)), name.gather(1, parent))
    best = torch.logaddexp(ending_blank, ending_digit).argmax(dim=1)
    rows = torch.arange(count)
    return digits[rows, best, : max(1, int(length[rows, best].max()))] if count else digits[:, 0]
