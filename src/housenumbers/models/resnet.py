"""Residual networks for small pictures (He et al. 2015, arXiv:1512.03385): a 3x3 stem instead of 7x7 and pooling."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from housenumbers.models.normalize import Normalize


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: a 1x1 convolution where the shape changes, else the input itself."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            # Picking every second pixel, then a 1x1 convolution, is the strided convolution of the paper, as fast.
            # That one itself corrupts the heap on AVX-512 CPUs (torch 2.14, channels_last, under 16 channels, odd N).
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(1, stride),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x), inplace=True)


class ResNet(nn.Module):
    """Pictures `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, classes]`.

    The first stage has `width` channels at full resolution; each further stage doubles the channels and halves the
    resolution. `blocks` counts the residual blocks of each stage. With the defaults this is the original study's
    "ResNet-31" (15 convolutions, 15 batch norms and 1 linear layer): 2,777,674 parameters.
    """

    def __init__(
        self, width: int = 64, blocks: Sequence[int] = (2, 2, 2), input_size: int = 32, classes: int = 10
    ) -> None:
        super().__init__()
        self.normalize = Normalize(input_size)
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        stages = []
        channels = width
        for stage, count in enumerate(blocks):
            outputs = width * 2**stage
            for block in range(count):
                stride = 2 if stage > 0 and block == 0 else 1
                stages.append(BasicBlock(channels, outputs, stride))
                channels = outputs
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.stages(self.stem(self.normalize(images)))
        return self.head(features.mean(dim=(2, 3)))
