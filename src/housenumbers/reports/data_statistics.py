"""Statistics of a data set without a model: counts, means, lightness, duplicates, similarity of neighbours."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.splits import NEIGHBOURS
from housenumbers.metrics.classes import CLASSES
from housenumbers.metrics.numbers import MAX_DIGITS, number_lengths

SIMILAR = 0.98  # the correlation of two thumbnails from which they count as near duplicates
_THUMBNAIL = 8  # pixels on each side
_CHUNK = 1000
_MAX_COMPARED = 120_000  # the maximum number of crops per part in the search for near duplicates
FARTHEST = 20  # places in the file


@dataclass(frozen=True)
class Pair:
    """Two similar crops: their parts, their indices in the parts, and the correlation of their thumbnails."""

    parts: tuple[str, str]
    indices: tuple[int, int]
    similarity: float


@dataclass(frozen=True)
class DuplicateCounts:
    """Numbers of crops in the second of two parts with a duplicate in the first; a crop is no duplicate of itself."""

    parts: tuple[str, str]
    exact: int
    near: int
    compared: int


def grey(images: Tensor) -> Tensor:
    """Lightness 0..255 `[N, H, W]` of images, uint8 `[N, 3, H, W]`, with the weights of Rec. 601."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    return torch.cat([(chunk * weights).sum(dim=1) for chunk in images.split(_CHUNK)])


def classes_of(labels: Tensor) -> tuple[Tensor, int]:
    """The class of each label, int64 `[N]`, and how many classes there are. That of a whole number is its length."""
    if labels.ndim == 1:
        return labels, CLASSES
    return number_lengths(labels), MAX_DIGITS + 1


def class_counts(labels: Tensor) -> list[int]:
    classes, count = classes_of(labels)
    return classes.bincount(minlength=count).tolist()


def class_statistics(data: LabeledImages) -> tuple[Tensor, Tensor]:
    """Each class's mean image and standard deviation, `[10, 3, H, W]` on 0..255; zeros for a class without images."""
    shape = (10, *data.images.shape[1:])
    mean, deviation = torch.zeros(shape), torch.zeros(shape)
    for label in data.labels.unique().tolist():
        images = data.images[data.labels == label]
        total = torch.stack([chunk.double().sum(dim=0) for chunk in images.split(_CHUNK)]).sum(dim=0)
        squares = torch.stack([chunk.double().square().sum(dim=0) for chunk in images.split(_CHUNK)]).sum(dim=0)
        mean[label] = total / len(images)
        deviation[label] = (squares / len(images) - (total / len(images)).square()).clamp(min=0).sqrt()
    return mean, deviation


def find_duplicates(parts: Mapping[str, LabeledImages], shown: int) -> tuple[list[DuplicateCounts], list[Pair]]:
    """Exact and near duplicates within and across parts, and the `shown` most similar pairs.

    Near duplicates: the 8x8 grey thumbnails, less their mean, correlate by SIMILAR or more. Uniform crops are not
    compared. Of a part with more than 120,000 crops an evenly spaced subset of at most 120,000 is compared.
    """
    indices = {
        name: torch.arange(len(data.labels))[:: -(-len(data.labels) // _MAX_COMPARED)] for name, data in parts.items()
    }
    thumbnails = {name: _thumbnails(data.images[indices[name]]) for name, data in parts.items()}
    digests = {name: _digests(data.images) for name, data in parts.items()}
    duplicates, pairs = [], []
    combinations = list(combinations_with_replacement(parts, 2))
    steps = sum(-(-len(indices[second]) // _CHUNK) for _, second in combinations)
    with tqdm(total=steps, desc="looking for duplicates", unit="step", leave=False, disable=None) as bar:
        for first, second in combinations:
            near = 0
            for begin in range(0, len(indices[second]), _CHUNK):
                similar = thumbnails[second][begin : begin + _CHUNK] @ thumbnails[first].T
                if first == second:  # excludes the crop itself
                    rows = torch.arange(len(similar))
                    similar[rows, rows + begin] = -1
                best, place = similar.max(dim=1)
                near += int((best >= SIMILAR).sum())
                for row in best.topk(min(shown, len(best))).indices.tolist():
                    places = (int(indices[first][place[row]]), int(indices[second][begin + row]))
                    pairs.append(Pair((first, second), places, float(best[row])))
                bar.update()
            counts, own = Counter(digests[first]), first == second  # of the same part, each crop counts itself
            exact = sum(counts[digest] > own for digest in digests[second])
            duplicates.append(DuplicateCounts((first, second), exact, near, len(indices[second])))
    unique: dict[object, Pair] = {}  # within a part each pair occurs twice
    for pair in sorted(pairs, key=lambda pair: -pair.similarity):
        unique.setdefault((pair.parts, frozenset(pair.indices)), pair)
    return duplicates, list(unique.values())[:shown]


def border_difference(images: Tensor, places: Tensor) -> tuple[dict[int, float], float]:
    """The mean border difference, in 0..255, of crops 1, 2, ... places apart in their file, and of any two crops.

    A crop's upper and lower edges show mostly the wall, which neighbours from one photo share. `places` are sorted.
    """
    light = grey(images)
    edges = torch.cat([light[:, :2], light[:, -2:]], dim=1).mean(dim=1)
    apart = {}
    for distance in range(1, FARTHEST + 1):
        partner = torch.searchsorted(places, places + distance).clamp(max=len(places) - 1)
        has_partner = places[partner] == places + distance
        if has_partner.any():
            apart[distance] = float((edges[partner[has_partner]] - edges[has_partner]).abs().mean())
    return apart, float((edges - edges.roll(len(edges) // 2, dims=0)).abs().mean())


def share_with_neighbours(train: Tensor, validation: Tensor) -> float:
    """The share of validation crops with a training crop within NEIGHBOURS places, possibly from the same photo.

    Takes the sorted places in the file, `[N]` and `[M]`.
    """
    after = torch.searchsorted(train, validation).clamp(max=len(train) - 1)
    before = (after - 1).clamp(min=0)
    nearest = torch.minimum((train[after] - validation).abs(), (train[before] - validation).abs())
    return float((nearest <= NEIGHBOURS).float().mean())


def _thumbnails(images: Tensor) -> Tensor:
    small = F.adaptive_avg_pool2d(grey(images)[:, None], _THUMBNAIL).flatten(1)
    centred = small - small.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1, keepdim=True)
    return torch.where(length > 1, centred / length, torch.zeros(()))  # zeros for uniform crops


def _digests(images: Tensor) -> list[bytes]:
    return [hashlib.blake2b(image.contiguous().numpy().data, digest_size=16).digest() for image in images]
