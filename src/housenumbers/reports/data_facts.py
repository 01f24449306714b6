"""What can be said of a data set without a model: counts, means, light, twins, and how alike neighbours are."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.splits import NEIGHBOURS

SIMILAR = 0.98  # the correlation of two thumbnails from which on they are called near duplicates
_THUMBNAIL = 8  # pixels on each side
_CHUNK = 1000
_MOST = 120_000  # crops of a part, at most, among which near duplicates are looked for
FARTHEST = 20  # places in the file


@dataclass(frozen=True)
class Pair:
    """Two crops that look alike: their parts, places in these, and the correlation of their thumbnails."""

    parts: tuple[str, str]
    places: tuple[int, int]
    similarity: float


@dataclass(frozen=True)
class Twins:
    """How many crops of the second of two parts have a duplicate in the first, another crop if both are the same."""

    parts: tuple[str, str]
    exact: int
    near: int
    looked_at: int


def grey(images: Tensor) -> Tensor:
    """Lightness 0..255 `[N, H, W]` of images, uint8 `[N, 3, H, W]`: the weights of Rec. 601."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return torch.cat([(chunk * weights).sum(dim=1) for chunk in images.split(_CHUNK)])


def class_statistics(data: LabeledImages) -> tuple[Tensor, Tensor]:
    """Each class's mean image and standard deviation, `[10, 3, H, W]` on 0..255; zeros where it has none."""
    shape = (10, *data.images.shape[1:])
    mean, deviation = torch.zeros(shape), torch.zeros(shape)
    for label in data.labels.unique().tolist():
        own = data.images[data.labels == label]
        total = torch.stack([chunk.double().sum(dim=0) for chunk in own.split(_CHUNK)]).sum(dim=0)
        squares = torch.stack([chunk.double().square().sum(dim=0) for chunk in own.split(_CHUNK)]).sum(dim=0)
        mean[label] = total / len(own)
        deviation[label] = (squares / len(own) - (total / len(own)).square()).clamp(min=0).sqrt()
    return mean, deviation


def twins(parts: Mapping[str, LabeledImages], shown: int) -> tuple[list[Twins], list[Pair]]:
    """Exact and near duplicates within and across parts, and the `shown` pairs that are most alike.

    Near: the 8x8 grey thumbnails, less their mean, correlate by SIMILAR or more. Crops of one shade alone have no
    thumbnail to compare. Of a part of more than 120,000 crops as many are looked at, evenly spaced.
    """
    chosen = {name: torch.arange(len(data.labels))[:: -(-len(data.labels) // _MOST)] for name, data in parts.items()}
    thumbnails = {name: _thumbnails(data.images[chosen[name]]) for name, data in parts.items()}
    digests = {name: _digests(data.images) for name, data in parts.items()}
    found, pairs = [], []
    combinations = list(combinations_with_replacement(parts, 2))
    steps = sum(-(-len(chosen[second]) // _CHUNK) for _, second in combinations)
    with tqdm(total=steps, desc="looking for duplicates", unit="step", leave=False, disable=None) as bar:
        for first, second in combinations:
            near = 0
            for begin in range(0, len(chosen[second]), _CHUNK):
                similar = thumbnails[second][begin : begin + _CHUNK] @ thumbnails[first].T
                if first == second:  # a crop is no twin of itself
                    rows = torch.arange(len(similar))
                    similar[rows, rows + begin] = -1
                best, place = similar.max(dim=1)
                near += int((best >= SIMILAR).sum())
                for row in best.topk(min(shown, len(best))).indices.tolist():
                    places = (int(chosen[first][place[row]]), int(chosen[second][begin + row]))
                    pairs.append(Pair((first, second), places, float(best[row])))
                bar.update()
            exact = _exact(digests[first], digests[second], first == second)
            found.append(Twins((first, second), exact, near, len(chosen[second])))
    unique: dict[object, Pair] = {}  # within a part a pair is found from both sides
    for pair in sorted(pairs, key=lambda pair: -pair.similarity):
        unique.setdefault((pair.parts, frozenset(pair.places)), pair)
    return found, list(unique.values())[:shown]


def border_difference(images: Tensor, places: Tensor) -> tuple[dict[int, float], float]:
    """How much the borders of crops differ that are 1, 2, ... places apart in their file, and of any two, in 0..255.

    A crop's upper and lower edge show mostly the wall: neighbours from one photo share it. `places` grow.
    """
    light = grey(images)
    edges = torch.cat([light[:, :2], light[:, -2:]], dim=1).mean(dim=1)
    apart = {}
    for distance in range(1, FARTHEST + 1):
        partner = torch.searchsorted(places, places + distance).clamp(max=len(places) - 1)
        there = places[partner] == places + distance
        if there.any():
            apart[distance] = float((edges[partner[there]] - edges[there]).abs().mean())
    return apart, float((edges - edges.roll(len(edges) // 2, dims=0)).abs().mean())


def share_with_neighbours(train: Tensor, validation: Tensor) -> float:
    """The share of validation crops that have a training crop within NEIGHBOURS places: from the same photo, perhaps.

    Takes their places in the file, `[N]` and `[M]`, in order.
    """
    after = torch.searchsorted(train, validation).clamp(max=len(train) - 1)
    before = (after - 1).clamp(min=0)
    nearest = torch.minimum((train[after] - validation).abs(), (train[before] - validation).abs())
    return float((nearest <= NEIGHBOURS).float().mean())


def _thumbnails(images: Tensor) -> Tensor:
    small = F.adaptive_avg_pool2d(grey(images)[:, None], _THUMBNAIL).flatten(1)
    centred = small - small.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    return torch.where(length > 1, centred / length, torch.zeros(()))  # of one shade


def _digests(images: Tensor) -> list[bytes]:
    return [hashlib.blake2b(image.contiguous().numpy().data, digest_size=16).digest() for image in images]


def _exact(first: list[bytes], second: list[bytes], same: bool) -> int:
    counts: dict[bytes, int] = defaultdict(int)
    for digest in first:
        counts[digest] += 1
    return sum(counts[digest] > (1 if same else 0) for digest in second)
