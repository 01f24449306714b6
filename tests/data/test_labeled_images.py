"""Images and labels of a split."""

import pytest
import torch

from housenumbers.data.labeled_images import LabeledImages


def numbered(count: int) -> LabeledImages:
    """Images that hold their index in each pixel, but for one pixel of their own."""
    images = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).repeat(1, 3, 5, 7)
    images[:, 1, 2, 3] = 255 - images[:, 1, 2, 3]
    return LabeledImages(images, torch.arange(count) % 10)


@pytest.mark.parametrize(("count", "sizes"), [(50, [40, 10]), (50, [30, 5]), (50, [9, 3]), (50, [50, 0]), (1, [1, 0])])
@pytest.mark.parametrize("contiguous", [True, False])
def test_split_equals_a_subset_of_each_part(count: int, sizes: list[int], contiguous: bool) -> None:
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))[: sum(sizes)]
    parts = order.split(sizes)
    data = numbered(count)
    expected = [data.subset(part) for part in parts]
    if not contiguous:
        data = LabeledImages(data.images.contiguous(memory_format=torch.channels_last), data.labels)
    for part, wanted in zip(data.split(*parts), expected, strict=True):
        assert torch.equal(part.images, wanted.images)
        assert torch.equal(part.labels, wanted.labels)


def test_split_of_most_images_makes_no_copy() -> None:
    data = numbered(100)
    train, validation = data.split(torch.arange(99, 19, -1), torch.arange(20))
    memory = data.images.untyped_storage().data_ptr()
    assert train.images.untyped_storage().data_ptr() == validation.images.untyped_storage().data_ptr() == memory
