"""The first module of every model: what it takes, and what it does not."""

import pytest
import torch

from housenumbers.models.normalize import Normalize

IMAGES = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_both_forms_of_images_come_out_the_same() -> None:
    for size in (16, 20, 64):
        normalize = Normalize(size)
        assert normalize(IMAGES).shape == (2, 3, size, size)
        assert torch.equal(normalize(IMAGES), normalize(IMAGES.float()))


@pytest.mark.parametrize(
    "images", [IMAGES.int(), IMAGES[0], IMAGES[:, :2], IMAGES.movedim(1, -1), IMAGES > 7, IMAGES.numpy()]
)
def test_another_type_or_shape_is_refused(images: torch.Tensor) -> None:
    with pytest.raises((TypeError, ValueError), match="images: must be"):
        Normalize()(images)
