"""Images of numbers at other scales."""

import pytest
import torch
from torch import Tensor

from housenumbers.data.number_image import scaled_view


def stripe(column: int, width: int = 80) -> Tensor:
    """A black image with a white column, uint8 `[1, 3, 32, width]`."""
    image = torch.zeros(1, 3, 32, width, dtype=torch.uint8)
    image[..., column] = 255
    return image


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.25])
@pytest.mark.parametrize("column", [0, 17, 40, 79])
def test_everything_in_the_width_moves_away_from_the_middle_by_the_factor(factor: float, column: int) -> None:
    view = scaled_view(stripe(column), factor)
    assert view.shape[2] == 32
    assert view.shape[3] == (112 if factor > 1 else 80)
    row = view[0, 0, 16]
    if column in (0, 79) and factor != 1:  # the border is repeated
        assert row[0 if column == 0 else -1] == 255
    else:
        places = torch.arange(len(row)) + 0.5
        middle = float((row * places).sum() / row.sum())
        assert middle == pytest.approx(len(row) / 2 + (column + 0.5 - 40) * factor, abs=0.6)


def test_the_factor_one_changes_nothing() -> None:
    images = torch.randint(256, (2, 3, 32, 80), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert scaled_view(images, 1.0).equal(images)


def test_the_height_is_cut_or_filled_with_its_border() -> None:
    image = torch.zeros(1, 3, 32, 80, dtype=torch.uint8)
    image[:, :, :2] = 200
    assert scaled_view(image, 0.7)[0, 0, :4].min() > 150  # two rows become six
    assert scaled_view(image, 1.25)[0, 0].max() == 0  # the first 3.2 rows are beyond the border
