"""What a net looks at."""

import pytest
import torch
from support import composed
from torch import nn

from housenumbers.evaluation.occlusion import occlusion
from housenumbers.training.build import build_model


class LooksAtACorner(nn.Module):
    """Class 1 where the upper left corner is bright, class 0 else; shape `[N, 3, H, W]` to `[N, 2]`."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        size = images.shape[-1] // 4
        bright = images[:, :, :size, :size].float().mean(dim=(1, 2, 3)) / 25
        return torch.stack([torch.zeros_like(bright), bright - 4], dim=1)


@pytest.mark.parametrize("size", [32, 48])
def test_what_counts_is_found(size: int) -> None:
    images = torch.zeros(2, 3, size, size, dtype=torch.uint8)
    images[0, :, : size // 4, : size // 4] = 250
    maps, least = occlusion(LooksAtACorner(), images, torch.tensor([1, 0]))
    assert maps.shape == (2, size, size)
    assert maps[0, 0, 0] == maps[0].max() > 1
    assert maps[0, size // 2 :, size // 2 :].abs().max() == 0
    assert least[0] < 0.1  # with the corner covered
    assert maps[1].abs().max() == 0  # an image of one shade stays what it is


@pytest.mark.parametrize("model", ["fastnet", "preact_resnet31", "mobilenet_v3_small", "efficientnet_lite0"])
def test_every_family_can_be_asked(model: str) -> None:
    more = ["model.width=2"] if "resnet" in model else []
    config = composed(f"model={model}", "data=digits", "model.pretrained=false", *more)
    torch.manual_seed(0)
    net = build_model(config.model, torch.device("cpu")).train()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # the statistics of the next batch: without any, outputs hardly depend on the image
    net(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))
    net.eval()
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    maps, least = occlusion(net, images, torch.tensor([1, 7]))
    assert maps.shape == (2, 32, 32)
    assert maps.isfinite().all()
    assert maps.abs().amax(dim=(1, 2)).min() > 0
    whole = net(images).softmax(dim=1)[torch.arange(2), torch.tensor([1, 7])]
    assert (least <= whole + 1e-6).all()
