"""The reader of whole numbers."""

import pytest
import torch

from housenumbers.models.fold_batch_norm import fold_batch_norms
from housenumbers.models.number_reader import NumberReader


def reader() -> NumberReader:
    torch.manual_seed(0)
    model = NumberReader(channels=[8, 8, 12, 16], convolutions=[1, 1, 1, 1])
    model.initialize_from(pictures(40, 80))
    return model


def pictures(count: int, width: int, height: int = 32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(width)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("width", [32, 47, 80, 200])
def test_there_is_one_place_for_each_four_pixels(width: int) -> None:
    assert reader().eval()(pictures(2, width)).shape == (2, width // 4, 11)


def test_other_heights_are_scaled_to_the_reader_s() -> None:
    assert reader().eval()(pictures(2, 160, height=64)).shape == (2, 20, 11)


def test_folded_it_reads_the_same() -> None:
    model = reader()
    model(pictures(16, 80))  # statistics of batch norms
    model.eval()
    folded = fold_batch_norms(model)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    torch.testing.assert_close(folded(pictures(3, 80)), model(pictures(3, 80)), rtol=1e-4, atol=1e-4)


def test_dark_images_are_read_as_exactly_in_either_memory_format() -> None:
    model = reader().eval()
    dark = pictures(8, 80) // 16
    exact = model.double()(dark)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        logits = model.float().to(memory_format=memory_format)(dark.contiguous(memory_format=memory_format))
        torch.testing.assert_close(logits.double(), exact, rtol=1e-5, atol=1e-5)
