"""Images and labels of a split."""

import re

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


NUMBERS = [[1, 2, 3, -1, -1, -1], [0, -1, -1, -1, -1, -1], [-1] * 6, [9, 8, 7, 6, 5, 4]]


def test_labels_may_be_whole_numbers() -> None:
    data = LabeledImages(numbered(4).images, torch.tensor(NUMBERS))
    data.check()
    assert data.subset(torch.tensor([2, 0])).labels.tolist() == [NUMBERS[2], NUMBERS[0]]
    assert data.split(torch.tensor([3, 1, 2]), torch.tensor([0]))[1].labels.tolist() == NUMBERS[:1]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([[1, 2]] * 4, "must be [4], one for each image, not [4, 2]"),
        (NUMBERS[:3], "must be [4, 6]"),
        ([*NUMBERS[:3], [1, -1, 2, -1, -1, -1]], "behind the last digit only"),
        ([*NUMBERS[:3], [10, -1, -1, -1, -1, -1]], "0..9"),
        ([*NUMBERS[:3], [-2, -1, -1, -1, -1, -1]], "0..9"),
    ],
)
def test_numbers_of_another_form_are_refused(labels: list[list[int]], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        LabeledImages(numbered(4).images, torch.tensor(labels)).check()
