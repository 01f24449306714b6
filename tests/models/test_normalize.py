"""The first module of every model: what it takes, and what it does not."""

import pytest
import torch

from housenumbers.models.normalize import Normalize

PICTURES = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_both_forms_of_pictures_come_out_the_same() -> None:
    for size in (16, 20, 64):
        normalize = Normalize(size)
        assert normalize(PICTURES).shape == (2, 3, size, size)
        assert torch.equal(normalize(PICTURES), normalize(PICTURES.float()))


@pytest.mark.parametrize(
    "images", [PICTURES.int(), PICTURES[0], PICTURES[:, :2], PICTURES.movedim(1, -1), PICTURES > 7, PICTURES.numpy()]
)
def test_another_type_or_shape_is_refused(images: torch.Tensor) -> None:
    with pytest.raises((TypeError, ValueError), match="pictures: must be"):
        Normalize()(images)
