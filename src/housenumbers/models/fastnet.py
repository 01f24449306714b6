"""A small, fast network: narrow, without shortcuts, and with a first layer that is computed instead of trained."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from housenumbers.models.normalize import Normalize
from housenumbers.pretrained import DIGITS, MODELS

_PATCH = 2  # pixels: the side of the patches that are whitened
ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}
_FEW_IMAGES = 2000  # images for the statistics
_EIGENVALUE_FLOOR = 1e-2  # limits the amplification of directions with little variance
_CONTRAST_FLOOR = 0.06**2  # of variance, for pixels on -1..1: limits the amplification of a uniform image
_LOGIT_SCALE = 1 / 3  # of the outputs, which are large after a maximum over positions


class WhiteningNetwork(nn.Module):
    """A whitening layer and stages of convolutions, for images that `normalize` maps to -1..1.

    `published` names the weights that come with the code. Subclasses add further layers and `forward`.
    """

    published: str

    def __init__(
        self,
        normalize: nn.Module,
        channels: Sequence[int],
        convolutions: Sequence[int],
        pools: Sequence[int | tuple[int, int]],
        activation: str,
    ) -> None:
        super().__init__()
        self.normalize = normalize
        # Each direction of a patch with both signs.
        self.whiten = nn.Conv2d(3, 2 * 3 * _PATCH**2, _PATCH, stride=_PATCH, bias=False).requires_grad_(False)
        self.act = ACTIVATIONS[activation]()
        self.stages = _stages(self.whiten.out_channels, channels, convolutions, pools, ACTIVATIONS[activation])

    @torch.no_grad()
    def initialize_from(self, images: Tensor) -> None:
        """Computes the whitening layer from patches of some of the training images, `[N, 3, H, W]`.

        Its output has unit covariance, except in directions in which patches hardly vary.
        """
        sample = self._equal_contrast(images[:: max(1, len(images) // _FEW_IMAGES)])
        self.whiten.weight.copy_(_whitening_filters(sample))

    def freezable_stages(self) -> list[list[nn.Module]]:
        """The stages. The whitening layer is never trained."""
        return [[stage] for stage in self.stages]

    def published_weights(self) -> str:
        """The file that comes with the code, trained on rendered images."""
        return str(MODELS[self.published].file)

    def _equal_contrast(self, images: Tensor) -> Tensor:
        return equal_contrast(self.normalize(images))


class FastNet(WhiteningNetwork):
    """Images `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, classes]`.

    Each image is normalized to mean 0 and variance 1. A frozen convolution maps each patch of 2x2 pixels to its 12
    whitened values, with both signs, which halves the resolution without loss of information. Stages of 3x3
    convolutions follow, each with batch norm and `activation`. From the second stage on, a max pooling follows the
    first convolution. The maximum over all positions goes into a linear layer. `channels` and `convolutions` are the
    width and the depth of each stage.

    The architecture is similar to Keller Jordan's airbench (2024, arXiv:2404.00498): a whitening layer (Page 2018, "How
    to train your ResNet"), computed by `initialize_from`, and convolutions initialized as identities (dirac). Patches
    without overlap and equal contrast for each image are ours, since the lighting of street numbers varies.
    """

    published = DIGITS  # trained by `experiment=pretrained_digits`

    def __init__(
        self,
        channels: Sequence[int] = (24, 48, 128),
        convolutions: Sequence[int] = (1, 2, 2),
        activation: str = "gelu",
        input_size: int = 32,
        classes: int = 10,
    ) -> None:
        if len(channels) != len(convolutions):
            raise ValueError(f"convolutions={list(convolutions)}: must be as many as model.channels={list(channels)}")
        pools = [1, *(2 for _ in channels[1:])]
        super().__init__(Normalize(input_size), channels, convolutions, pools, activation)
        self.head = ScaledLinear(channels[-1], classes, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        features = self.act(self.whiten(self._equal_contrast(images)))
        for stage in self.stages:
            features = stage(features)
        return self.head(features.amax(dim=(2, 3)))


class ScaledLinear(nn.Linear):
    """A linear layer with scaled outputs, as one module: training on cached features includes the scale."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * _LOGIT_SCALE


def equal_contrast(images: Tensor) -> Tensor:
    """Images `[N, 3, H, W]` on -1..1, each with mean 0 and variance 1."""
    return F.group_norm(images, 1, eps=_CONTRAST_FLOOR)


def _whitening_filters(sample: Tensor) -> Tensor:
    """Filters whose output for images `[N, 3, H, W]` like the sample has unit covariance, but for a floor."""
    patches = F.unfold(sample, _PATCH, stride=_PATCH).transpose(1, 2).flatten(0, 1)
    covariance = patches.T @ patches / len(patches)
    values, vectors = torch.linalg.eigh(covariance.cpu().double())
    filters = (vectors / (values + _EIGENVALUE_FLOOR).sqrt()).T.view(-1, 3, _PATCH, _PATCH).float()
    return torch.cat([filters, -filters])


def _stages(
    inputs: int,
    channels: Sequence[int],
    convolutions: Sequence[int],
    pools: Sequence[int | tuple[int, int]],
    activation: Callable[[], nn.Module],
) -> nn.ModuleList:
    """Stages of 3x3 convolutions with batch norm. After a stage's first one, a max pooling; 1 stands for none."""
    stages = nn.ModuleList()
    for outputs, count, pool in zip(channels, convolutions, pools, strict=True):
        stage = nn.Sequential()
        for number in range(count):
            stage.append(_convolution(inputs, outputs))
            if number == 0 and pool != 1:
                stage.append(nn.MaxPool2d(pool))
            stage.extend([nn.BatchNorm2d(outputs), activation()])
            inputs = outputs
        stages.append(stage)
    return stages


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    """A 3x3 convolution, initialized as the identity on the channels that both sides have, else at random."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    same = min(inputs, outputs)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:same])
    return convolution
