"""The residual family, against the original study's network and against plain arithmetic."""

import pytest
import torch
from support import composed
from torch import nn

from housenumbers.models.normalize import Normalize
from housenumbers.models.resnet import ResNet
from housenumbers.training.build import build_model


def test_resnet31_is_the_studys_network() -> None:
    model = ResNet()
    assert sum(parameter.numel() for parameter in model.parameters()) == 2_777_674
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(nn.Conv2d) + kinds.count(nn.BatchNorm2d) + kinds.count(nn.Linear) == 31


def test_resnet31_has_the_studys_multiply_adds() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        ResNet().eval()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert round(counter.get_total_flops() / 2 / 1e6) == 421


@pytest.mark.parametrize(("width", "blocks"), [(8, [1]), (4, [1, 2]), (3, [1, 1, 1, 1])])
def test_width_and_blocks_shape_the_family(width: int, blocks: list[int]) -> None:
    model = ResNet(width, blocks)
    logits = model(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert logits.shape == (2, 10)
    assert model.head.in_features == width * 2 ** (len(blocks) - 1)
    assert len(model.stages) == sum(blocks)


def test_uint8_and_float_images_give_equal_logits() -> None:
    model = ResNet(4).eval()
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(model(images), model(images.float()))


def test_channels_last_changes_the_speed_alone() -> None:
    torch.manual_seed(0)
    model = ResNet(6)
    images = torch.randint(0, 256, (7, 3, 32, 32), dtype=torch.uint8)
    logits = model(images)
    model.to(memory_format=torch.channels_last)
    # An odd batch and few channels: the strided 1x1 convolution that the shortcut avoids corrupted memory here.
    for _ in range(5):
        again = model(images.contiguous(memory_format=torch.channels_last))
        again.sum().backward()
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-4)


def test_normalize_scales_and_resizes() -> None:
    normalize = Normalize(input_size=16, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    images = torch.full((1, 3, 32, 32), 255, dtype=torch.uint8)
    out = normalize(images)
    assert out.shape == (1, 3, 16, 16)
    torch.testing.assert_close(out[0, :, 0, 0], torch.tensor([1.0, 1.0, 0.0]))


def test_a_checkpoint_carries_what_the_images_go_through() -> None:
    saved = Normalize(input_size=16, mean=(0.1, 0.2, 0.3)).state_dict()
    fresh = Normalize(input_size=64)
    fresh.load_state_dict(saved)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(fresh(images), Normalize(input_size=16, mean=(0.1, 0.2, 0.3))(images))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        # WRN-16-4 and WRN-28-10 as published with the paper's code, ResNet-56 counted by hand.
        ("wide_resnet16_4", 2_748_890),
        ("wide_resnet16_8", 10_961_370),
        ("resnet56", 855_770),
    ],
)
def test_named_members_of_the_family_have_the_published_number_of_parameters(name: str, parameters: int) -> None:
    model = build_model(composed(f"model={name}").model, torch.device("cpu"))
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def test_wrn_28_10_has_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        model = ResNet(width=160, blocks=(4, 4, 4), preactivation=True, stem_width=16)
    assert sum(parameter.numel() for parameter in model.parameters()) == 36_479_194
