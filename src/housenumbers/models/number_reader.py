"""A small, fully convolutional network that reads whole numbers from images of any width."""

from collections.abc import Sequence

from torch import Tensor, nn

from housenumbers.models.fastnet import ACTIVATIONS, ScaledLinear, WhiteningNetwork, equal_contrast
from housenumbers.models.normalize import NormalizeHeight
from housenumbers.pretrained import NUMBERS


class NumberReader(WhiteningNetwork):
    """Images `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, T, 11]` for CTC, of ten digits and the blank.

    Images are scaled to the height `input_size`. With a width of W pixels then, there are T = W // 4 places.
    The layers are as in `FastNet`: equal contrast for each image, a whitening layer, and stages of 3x3 convolutions
    with batch norm and `activation`. The second stage halves the resolution, and later ones the height only. The
    maximum over the height of the last stage goes through a convolution along the width, `context` places wide, and
    into a linear layer at each place.

    Trained with connectionist temporal classification: Graves et al. 2006 (doi.org/10.1145/1143844.1143891); a network
    of convolutions alone for it: Borisyuk et al. 2018, "Rosetta" (arXiv:1910.05085).
    """

    published = NUMBERS

    def __init__(
        self,
        channels: Sequence[int] = (24, 48, 96, 160),
        convolutions: Sequence[int] = (1, 2, 2, 2),
        context: int = 5,
        activation: str = "gelu",
        input_size: int = 32,
        symbols: int = 11,
    ) -> None:
        pools: list[int | tuple[int, int]] = [1, 2, *((2, 1) for _ in channels[2:])]
        super().__init__(NormalizeHeight(input_size), channels, convolutions, pools, activation)
        width = channels[-1]
        self.context = nn.Sequential(
            nn.Conv2d(width, width, (1, context), padding=(0, context // 2), bias=False),
            nn.BatchNorm2d(width),
            ACTIVATIONS[activation](),
        )
        self.head = ScaledLinear(width, symbols)

    def forward(self, images: Tensor) -> Tensor:
        features = self.act(self.whiten(self._equal_contrast(images)))
        for stage in self.stages:
            features = stage(features)
        features = self.context(features.amax(dim=2, keepdim=True))
        return self.head(features[:, :, 0].transpose(1, 2))

    def _equal_contrast(self, images: Tensor) -> Tensor:
        images = self.normalize(images)
        # Without its mean, since torch's group norm of channels_last images on a CPU subtracts the square of the mean
        # from the mean square: of dark images it keeps three digits only (findings/torch-group-norm-channels-last.sh).
        return equal_contrast(images - images.mean(dim=(1, 2, 3), keepdim=True))
