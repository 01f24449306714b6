"""Residual networks for 32x32 images: the original study's network, and deeper, wider or pre-activation variants."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from housenumbers.models.normalize import Normalize


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where shapes differ.

    He et al. 2015, arXiv:1512.03385.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(*_strided_1x1(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x), inplace=True)


class PreactivationBlock(nn.Module):
    """`BasicBlock` with batch norm and ReLU before each convolution, and nothing after the sum.

    He et al. 2016, arXiv:1603.05027. A 1x1 convolution for the shortcut receives the pre-activated input, as in wide
    residual networks (Zagoruyko and Komodakis 2016, arXiv:1605.07146).
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(*_strided_1x1(inputs, outputs, stride))

    def forward(self, x: Tensor) -> Tensor:
        ready = F.relu(self.bn1(x), inplace=True)
        y = self.conv1(ready)
        y = self.conv2(F.relu(self.bn2(y), inplace=True))
        return y + (x if self.shortcut is None else self.shortcut(ready))


def _strided_1x1(inputs: int, outputs: int, stride: int) -> tuple[nn.Module, nn.Module]:
    # Subsampling before a 1x1 convolution equals the paper's strided convolution, at the same speed. The strided one
    # corrupts the heap on AVX-512 CPUs (torch 2.14, channels_last, under 16 channels, odd N).
    return nn.AvgPool2d(1, stride), nn.Conv2d(inputs, outputs, 1, bias=False)


class ResNet(nn.Module):
    """Images `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, classes]`.

    The first stage has `width` channels at full resolution; each further stage doubles the channels and halves the
    resolution. `blocks` counts the residual blocks of each stage. With the defaults this is the original study's
    "ResNet-31" (15 convolutions, 15 batch norms and 1 linear layer): 2,777,674 parameters. The stem, a 3x3 convolution,
    has `stem_width` channels, by default `width`.
    """

    def __init__(
        self,
        width: int = 64,
        blocks: Sequence[int] = (2, 2, 2),
        input_size: int = 32,
        classes: int = 10,
        preactivation: bool = False,
        stem_width: int | None = None,
    ) -> None:
        super().__init__()
        channels = stem_width or width
        self.normalize = Normalize(input_size)
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False))
        if not preactivation:
            self.stem.extend([nn.BatchNorm2d(channels), nn.ReLU(inplace=True)])
        block_type = PreactivationBlock if preactivation else BasicBlock
        stages: list[nn.Module] = []
        for stage, count in enumerate(blocks):
            outputs = width * 2**stage
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(block_type(channels, outputs, stride))
                channels = outputs
        if preactivation:  # the last sum has no batch norm and ReLU yet
            stages.extend([nn.BatchNorm2d(channels), nn.ReLU(inplace=True)])
        self._blocks = tuple(blocks)
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, classes)

    def freezable_stages(self) -> list[list[nn.Module]]:
        """The stem, and the blocks of each stage."""
        blocks = iter(self.stages)
        stages = [[next(blocks) for _ in range(count)] for count in self._blocks]
        stages[-1].extend(blocks)
        return [[self.stem], *stages]

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(self.stem(self.normalize(images)))
        return self.head(features.mean(dim=(2, 3)))
