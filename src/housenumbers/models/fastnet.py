"""A small network for little time: no shortcuts, narrow, and its first layer is computed instead of learnt."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from housenumbers.models.normalize import Normalize

_PATCH = 2  # pixels: the side of the patches that are whitened
_FEW_IMAGES = 2000  # are enough for the statistics
_EIGENVALUE_FLOOR = 1e-2  # keeps directions that hardly vary from being blown up
_CONTRAST_FLOOR = 0.06**2  # of variance, the whole range being 2: keeps a plain image from being blown up
_LOGIT_SCALE = 1 / 3  # of the untrained net's outputs, which are large behind a maximum over places


class FastNet(nn.Module):
    """Images `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, classes]`.

    Each image gets mean 0 and variance 1. A frozen convolution makes of each patch of 2x2 pixels its 12 whitened
    values, both signs of each, so that all that follows works at half the resolution and nothing is lost. Stages of 3x3
    convolutions follow, each with batch norm and `activation`; from the second stage on the first convolution has a max
    pooling behind it. The maximum over all places goes into a linear layer. `channels` and `convolutions` say how wide
    and how deep each stage is.

    The architecture is akin to Keller Jordan's airbench (2024, arXiv:2404.00498): a whitening layer (Page 2018, "How to
    train your ResNet"), computed by `initialize_from`, and convolutions that begin as identities (dirac). Patches that
    do not overlap are ours, and equal contrast for each image: street numbers are lit in every way.
    """

    def __init__(
        self,
        channels: Sequence[int] = (24, 48, 128),
        convolutions: Sequence[int] = (1, 2, 2),
        activation: str = "gelu",
        input_size: int = 32,
        classes: int = 10,
    ) -> None:
        super().__init__()
        if len(channels) != len(convolutions):
            raise ValueError(f"convolutions={list(convolutions)}: must be as many as model.channels={list(channels)}")
        act = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}[activation]
        self.normalize = Normalize(input_size)
        directions = 3 * _PATCH**2
        self.whiten = nn.Conv2d(3, 2 * directions, _PATCH, stride=_PATCH, bias=False).requires_grad_(False)
        self.act = act()
        self.stages = nn.ModuleList()
        inputs = 2 * directions
        for outputs, count in zip(channels, convolutions, strict=True):
            stage = nn.Sequential()
            for number in range(count):
                stage.append(_convolution(inputs, outputs))
                if number == 0 and len(self.stages) > 0:
                    stage.append(nn.MaxPool2d(2))
                stage.extend([nn.BatchNorm2d(outputs), act()])
                inputs = outputs
            self.stages.append(stage)
        self.head = _ScaledLinear(inputs, classes, bias=False)

    @torch.no_grad()
    def initialize_from(self, images: Tensor) -> None:
        """Computes the whitening layer from patches of some of the training images, `[N, 3, H, W]`.

        Its output has covariance one, but for directions in which patches hardly vary.
        """
        some = self._equal_contrast(images[:: max(1, len(images) // _FEW_IMAGES)])
        patches = F.unfold(some, _PATCH, stride=_PATCH).transpose(1, 2).flatten(0, 1)
        covariance = patches.T @ patches / len(patches)
        values, vectors = torch.linalg.eigh(covariance.cpu().double())
        filters = (vectors / (values + _EIGENVALUE_FLOOR).sqrt()).T.view(-1, 3, _PATCH, _PATCH).float()
        self.whiten.weight.copy_(torch.cat([filters, -filters]))

    def freezable_stages(self) -> list[list[nn.Module]]:
        """Its stages; the whitening layer is never trained."""
        return [[stage] for stage in self.stages]

    def forward(self, images: Tensor) -> Tensor:
        features = self.act(self.whiten(self._equal_contrast(images)))
        for stage in self.stages:
            features = stage(features)
        return self.head(features.amax(dim=(2, 3)))

    def _equal_contrast(self, images: Tensor) -> Tensor:
        return F.group_norm(self.normalize(images), 1, eps=_CONTRAST_FLOOR)


class _ScaledLinear(nn.Linear):
    """One layer, so that what is trained on features of a frozen net is what is scored."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * _LOGIT_SCALE


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """Begins as the identity on as many channels as there are on both sides, the rest random."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    same = min(inputs, outputs)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:same])
    return convolution
