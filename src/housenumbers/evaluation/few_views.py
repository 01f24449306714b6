"""Test-time augmentation that stops early: an image gets further views only while they could change its label."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.metrics.classes import CLASSES
from housenumbers.metrics.tasks import are_numbers
from housenumbers.metrics.views import test_time_view, view_count
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.record_validation import is_number

_STRIDE = 7  # coprime with 2, 5 and 10 views; of ten, the first five hold each shift once, two of them inverted
_SAFETY_FACTOR = 1.5  # the threshold is this many times the smallest one that worked on the images it was chosen on
_MAX_CHANGED_FRACTION = 2e-4  # the fraction of these images whose label may differ
_MIN_DEPENDENT_LABELS = 10  # if fewer labels change, the largest margin among them is a poor estimate
_MIN_FRACTION_OF_MEDIAN = 0.5  # of the median margin: the smallest threshold then, and on training images
_MAX_SAMPLE = 500  # training images, where there are no others
_BATCH = 250  # images that go through the network at once


@dataclass(frozen=True)
class StoppingRule:
    """An image stops after k of V views if margin > threshold * sqrt((1/k - 1/V) / (1 - 1/V)).

    The margin is the difference between the two largest mean logits of the first k views. The root is the standard
    error of the mean of k views, drawn from V without replacement, relative to the standard error of one view. k is one
    of `stops(V)`. If an image stops at the i-th of these, its mean logits are multiplied by `scales[i]`. This brings
    them to the size of the mean over all views, so the same temperature fits. The rule was chosen on `n` images of
    `part`: "validation", or "train" if there is no validation part.
    """

    tta: int
    tta_invert: bool
    threshold: float
    scales: list[float]
    n: int
    part: str

    def is_valid(self) -> bool:
        """Whether types and values are possible results of `choose_rule`: a file may hold others."""
        numbers = [self.tta, self.n, self.threshold, *(self.scales if isinstance(self.scales, list) else [None])]
        if not all(map(is_number, numbers)) or not isinstance(self.tta_invert, bool):
            return False
        needed = len(stops(view_count(self.tta, self.tta_invert)))
        return self.threshold >= 0 and min(self.scales, default=0) > 0 and len(self.scales) == needed


def stopping_rule_of(content: Mapping[str, Any], tta: int, tta_invert: bool, source: Path) -> StoppingRule | None:
    """The rule in a checkpoint. None where it has none, or one for other views than these.

    Raises UserError, which names `source`, where it is damaged.
    """
    if (saved := content.get("stopping_rule")) is None:
        return None
    names = {field.name for field in fields(StoppingRule)}
    rule = StoppingRule(**saved) if isinstance(saved, dict) and saved.keys() == names else None
    if rule is None or not rule.is_valid():
        raise UserError(f"{source}: damaged (stopping_rule is not one of a run): restore it from a backup")
    return rule if (rule.tta, rule.tta_invert) == (tta, tta_invert) else None


def stops(count: int) -> list[int]:
    """After how many of `count` views an image may need no more."""
    return sorted({stop for stop in (1, 2, count // 2) if 0 < stop < count})


def view_order(count: int) -> list[int]:
    """The numbers of all views in the order in which they are used. The first one is the image itself."""
    return [_STRIDE * place % count for place in range(count)]


def choose_rule(views: Tensor, tta: int, tta_invert: bool, part: str) -> StoppingRule | None:
    """The rule for images like those with logits `views`, `[V, N, 10]`, of each of their V views.

    The threshold is 1.5 times the least one with which the labels equal those from all views, for all but 0.02 % of the
    images. Where few labels depend on the views, as of images the network was trained on, it is at least half the
    median margin of the images themselves. None where there is one view only, for whole numbers, or where logits are
    not finite.
    """
    if len(views) == 1 or are_numbers(views[0]) or not views.isfinite().all():
        return None
    ordered = views[view_order(len(views))]
    means = [(_margin_factor(stop, len(views)), ordered[:stop].mean(dim=0)) for stop in stops(len(views))]
    final = views.mean(dim=0)
    needed = torch.zeros(len(final))
    for factor, mean in means:
        changes = mean.argmax(dim=1) != final.argmax(dim=1)
        needed = needed.maximum(changes * _margins(mean) / factor)
    threshold = _SAFETY_FACTOR * float(needed.sort(descending=True).values[int(_MAX_CHANGED_FRACTION * len(needed))])
    if part == "train" or int((needed > 0).sum()) < _MIN_DEPENDENT_LABELS:
        threshold = max(threshold, _MIN_FRACTION_OF_MEDIAN * float(_margins(views[0]).median()))
    scales, undecided = [], torch.ones(len(final), dtype=torch.bool)
    for factor, mean in means:
        stopped = undecided & (_margins(mean) > threshold * factor)
        scales.append(_scale(mean[stopped], final[stopped]))
        undecided &= ~stopped
    return StoppingRule(tta, tta_invert, threshold, scales, len(final), part)


def sample_for_rule(data: LabeledImages) -> LabeledImages:
    """Evenly spaced training images, for `choose_rule`."""
    return data.subset(torch.arange(0, len(data.labels), max(1, len(data.labels) // _MAX_SAMPLE)))


@torch.inference_mode()
def predict_with_few_views(model: nn.Module, images: Tensor, rule: StoppingRule) -> Tensor:
    """Logits `[N, 10]` of images `[N, 3, H, W]`, on their device. Leaves the model in eval mode.

    All images go through each step before the next one, in batches, so few images that need more views fill a batch.
    """
    model.eval()
    count = view_count(rule.tta, rule.tta_invert)
    order = view_order(count)
    logits = torch.empty(len(images), CLASSES, device=images.device)
    rows = torch.arange(len(images), device=images.device)
    total, seen = torch.zeros_like(logits), 0
    for stop, scale in zip([*stops(count), count], [*rule.scales, 1.0], strict=True):
        for part in rows.split(max(1, _BATCH // (stop - seen))):
            some = images[part]
            views = [test_time_view(some, number, rule.tta) for number in order[seen:stop]]
            outputs = model(torch.cat(views).contiguous(memory_format=torch.channels_last)).float()
            total[part] += outputs.view(len(views), -1, CLASSES).sum(dim=0)
        mean, seen = total[rows] / stop, stop
        stopped = _margins(mean) > rule.threshold * _margin_factor(stop, count)
        if stop == count:
            stopped.fill_(True)
        logits[rows[stopped]] = mean[stopped] * scale
        rows = rows[~stopped]
        if not len(rows):
            break
    return logits


def _margins(logits: Tensor) -> Tensor:
    largest = logits.topk(2, dim=1).values
    return largest[:, 0] - largest[:, 1]


def _margin_factor(stop: int, count: int) -> float:
    """The standard error of a mean of `stop` of `count` values, drawn without replacement, relative to that of one."""
    return math.sqrt((1 / stop - 1 / count) / (1 - 1 / count))


def _scale(mean: Tensor, final: Tensor) -> float:
    """The factor that brings `mean` nearest to `final`, but for an offset of each image, which changes no softmax."""
    mean, final = (logits.double() - logits.double().mean(dim=1, keepdim=True) for logits in (mean, final))
    product = float((mean * final).sum())
    return product / float(mean.square().sum()) if product > 0 else 1.0
