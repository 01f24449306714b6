"""Logits of whole splits: means over the test-time views of each image."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

_DIRECTIONS = ((2, -1), (2, 1), (3, -1), (3, 1))  # of shifts: dimension and sign


def predict_logits(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], shift: int = 0, invert: bool = False
) -> tuple[Tensor, Tensor]:
    """Logits, float32 `[N, 10]` or, of whole numbers, `[N, T, 11]`, and labels of all batches, on the CPU.

    Logits are means over the `test_time_views` of each image. Leaves the model in eval mode.
    """
    logits, labels, _ = predict_views(model, batches, shift, invert)
    return logits, labels


@torch.inference_mode()
def predict_views(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], shift: int = 0, invert: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """As `predict_logits`, and last also the logits of each view, `[V, N, 10]`."""
    model.eval()
    logits, labels = [], []
    for images, labels_of_batch in batches:
        views = test_time_views(images, shift, invert)
        outputs = [model(view.contiguous(memory_format=torch.channels_last)).float() for view in views]
        logits.append(torch.stack(outputs))  # [V, B, 10]
        labels.append(labels_of_batch)
    means = torch.cat([views.mean(dim=0) for views in logits])
    return means.cpu(), torch.cat(labels).cpu(), torch.cat(logits, dim=1).cpu()


def test_time_views(images: Tensor, shift: int, invert: bool) -> list[Tensor]:
    """The images. With a `shift` above 0 also the images shifted by this many pixels in each of four directions.

    Repeats the pixels at the border. With `invert` also all these views with light and dark swapped (test-time
    augmentation).
    """
    plain = range(view_count(shift, invert=False))
    views = [test_time_view(images, number, shift) for number in plain]
    return [*views, *(255 - view for view in views)] if invert else views


def test_time_view(images: Tensor, number: int, shift: int) -> Tensor:
    """One of `test_time_views(images, shift, invert=True)`, without the others."""
    inverted, place = divmod(number, view_count(shift, invert=False))
    if place > 0:
        dim, sign = _DIRECTIONS[place - 1]
        places = torch.arange(images.shape[dim], device=images.device)
        images = images.index_select(dim, (places + sign * shift).clamp(0, images.shape[dim] - 1))
    return 255 - images if inverted else images


def view_count(shift: int, invert: bool) -> int:
    """The number of `test_time_views`."""
    return (1 + len(_DIRECTIONS) * (shift > 0)) * (1 + invert)
