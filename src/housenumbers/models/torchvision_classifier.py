"""torchvision's classifiers by name, with first layers that can be adapted to small images."""

from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models import get_model, get_model_weights, list_models

from housenumbers.models.normalize import Normalize

# ImageNet's statistics, used by most of torchvision's weights.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_INCEPTIONS = ("googlenet", "inception_v3")  # their weights were trained with 0.5 and 0.5


class TorchvisionClassifier(nn.Module):
    """Images `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, classes]`, through `architecture`.

    `architecture` is any name in torchvision.models.list_models(module=torchvision.models). These networks are designed
    for images of 224 pixels, and shrink them 32 times. `stem="small"` is for small images: the first convolution has
    stride 1, and a pooling right after it is removed. `stem="original"` changes nothing: `input_size` should be larger
    then. Raises ValueError where there is no such architecture or stem, or it does not accept images of that size.
    """

    def __init__(self, architecture: str, input_size: int = 32, stem: str = "small", classes: int = 10) -> None:
        super().__init__()
        known = list_models(module=torchvision.models)
        if architecture not in known:
            raise ValueError(f"architecture={architecture}: torchvision has no such classifier: {', '.join(known)}")
        if stem not in ("small", "original"):
            raise ValueError(f"stem={stem}: must be small or original")
        self.architecture = architecture
        self.normalize = Normalize(input_size) if architecture in _INCEPTIONS else Normalize(input_size, _MEAN, _STD)
        options = _extra_options(architecture, input_size)
        try:
            self.network = get_model(architecture, weights=None, num_classes=classes, **options)
            if stem == "small":
                _keep_resolution(self.network)
            _pass_shapes(self.network, input_size)
        except (RuntimeError, AssertionError) as error:  # the latter: a vision transformer's patches do not fit
            raise ValueError(
                f"input_size={input_size}: {architecture} does not take it with stem={stem}: {error}: "
                "try model.stem=original model.input_size=224"
            ) from None

    @property
    def head(self) -> nn.Module:
        """The last layer, in most architectures a linear one."""
        return [module for module in self.network.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]

    def freezable_stages(self) -> list[list[nn.Module]]:
        """The layers in forward order, without the head: blocks, and convolutions with the batch norm after them."""
        features, head = getattr(self.network, "features", self.network), self.head
        stages: list[list[nn.Module]] = []
        for module in features.children():
            if not list(module.parameters()) or any(layer is head for layer in module.modules()):
                continue
            if isinstance(module, nn.BatchNorm2d) and stages and isinstance(stages[-1][-1], nn.Conv2d):
                stages[-1].append(module)
            else:
                stages.append([module])
        return stages

    def published_weights(self) -> str:
        """The URL of torchvision's weights. The file's name ends with its hash."""
        return str(get_model_weights(self.architecture)["DEFAULT"].url)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.normalize(images))


def _extra_options(architecture: str, input_size: int) -> dict[str, Any]:
    """Arguments that a few architectures need: the size of images, or a single head instead of three."""
    if architecture.startswith("vit_"):
        return {"image_size": input_size}
    if architecture.startswith("maxvit_"):
        return {"input_size": (input_size, input_size)}
    if architecture in _INCEPTIONS:
        return {"aux_logits": False, "init_weights": True}
    return {}


def _pass_shapes(network: nn.Module, size: int) -> None:
    """Runs the network on meta tensors, without computing. Raises the network's error where the size does not fit."""
    weights = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    functional_call(network.eval(), weights, torch.empty(2, 3, size, size, device="meta"))
    network.train()


def _keep_resolution(network: nn.Module) -> None:
    """Sets the first convolution's stride to 1, and removes a max pooling between it and the second convolution."""
    convolutions = 0
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            convolutions += 1
            if convolutions == 2:
                return
            module.stride = (1, 1)
        elif isinstance(module, nn.MaxPool2d):
            parent, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(parent), attribute, nn.Identity())
            return
