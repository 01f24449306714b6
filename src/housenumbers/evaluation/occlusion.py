"""Occlusion maps: the effect of a covered square of the image on the prediction."""

from collections.abc import Callable

import torch
from torch import Tensor

_WINDOW, _STRIDE = 8, 4  # in 32nds of the image's side


@torch.inference_mode()
def occlusion(logits: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The decrease of the log-probability of `labels` where a square is covered, and the lowest probability.

    `logits` maps images, uint8 `[M, 3, H, W]`, to logits `[M, 10]`. `images` are uint8 `[N, 3, H, W]`. Returns maps
    `[N, H, W]` in nats and probabilities `[N]`. A pixel's value is the mean over the squares, a quarter of the image
    wide, that cover it. The cover has the image's mean colour.
    Zeiler and Fergus 2014 (arXiv:1311.2901). It needs only outputs, so it works with any architecture.
    """
    count, _, height, width = images.shape
    cover = images.float().mean(dim=(2, 3), keepdim=True).round().to(torch.uint8)
    squares = [
        (
            slice(top * height // 32, (top + _WINDOW) * height // 32),
            slice(left * width // 32, (left + _WINDOW) * width // 32),
        )
        for top in range(0, 33 - _WINDOW, _STRIDE)
        for left in range(0, 33 - _WINDOW, _STRIDE)
    ]
    covered = images.repeat(len(squares) + 1, 1, 1, 1, 1)  # the first entry stays uncovered
    for place, square in enumerate(squares, 1):
        covered[place][..., *square] = cover
    log_probabilities = logits(covered.flatten(0, 1)).log_softmax(dim=1).view(len(squares) + 1, count, -1)
    remaining = log_probabilities.gather(2, labels.expand(len(squares) + 1, -1)[..., None])[..., 0]
    total, counts = torch.zeros(count, height, width), torch.zeros(height, width)
    for place, square in enumerate(squares, 1):
        total[:, *square] += (remaining[0] - remaining[place])[:, None, None]
        counts[square] += 1
    return total / counts, remaining.amin(dim=0).exp()


def overlay_importance(image: Tensor, importance: Tensor) -> Tensor:
    """The image in grey, overlaid with orange in proportion to the importance `[H, W]`, which is scaled to 1.

    Takes and returns uint8 `[3, H, W]`.
    """
    weight = 0.75 * (importance / importance.max().clamp(min=1e-6)).clamp(min=0)
    grey = image.float().mean(dim=0, keepdim=True).expand(3, -1, -1)
    orange = torch.tensor([213.0, 94.0, 0.0]).view(3, 1, 1)
    return ((1 - weight) * grey + weight * orange).round().to(torch.uint8)
