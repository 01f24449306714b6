"""torchvision's classifiers by name, their first layers fit for small images where that is wanted."""

from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from torchvision.models import get_model, get_model_weights, list_models

from housenumbers.models.normalize import Normalize

# ImageNet's, which most of torchvision's weights were trained with.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_INCEPTIONS = ("googlenet", "inception_v3")  # their weights were trained with 0.5 and 0.5


class TorchvisionClassifier(nn.Module):
    """Images `[N, 3, H, W]`, uint8 or float on 0..255, to logits `[N, classes]`, through `architecture`.

    That is any name in torchvision.models.list_models(module=torchvision.models). They were made for images of 224
    pixels, which they shrink 32 times. `stem="small"` keeps more of small ones: the first convolution moves by one
    pixel, and the pooling right behind it, if any, goes. `stem="original"` changes nothing: then `input_size` should be
    larger. Raises ValueError where there is no such architecture or stem, or it does not take images of that size.
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
        except (RuntimeError, AssertionError) as error:  # the latter of a vision transformer, whose patches do not fit
            raise ValueError(
                f"input_size={input_size}: {architecture} does not take it with stem={stem}: {error}: "
                "try model.stem=original model.input_size=224"
            ) from None

    @property
    def head(self) -> nn.Module:
        """The last layer: nearly always a linear one."""
        return [module for module in self.network.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]

    def freezable_stages(self) -> list[list[nn.Module]]:
        """What images pass in turn, the head apart: blocks, and convolutions with the batch norm behind them."""
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
        """Where torchvision's own weights are: the URL of a file whose name ends with its hash."""
        return str(get_model_weights(self.architecture)["DEFAULT"].url)

    def forward(self, images: Tensor) -> Tensor:
        return self.network(self.normalize(images))


def _extra_options(architecture: str, input_size: int) -> dict[str, Any]:
    """What a few architectures have to be told: the size of images, or that there is one head, not three."""
    if architecture.startswith("vit_"):
        return {"image_size": input_size}
    if architecture.startswith("maxvit_"):
        return {"input_size": (input_size, input_size)}
    if architecture in _INCEPTIONS:
        return {"aux_logits": False, "init_weights": True}
    return {}


def _pass_shapes(network: nn.Module, size: int) -> None:
    """Sends shapes of images through, without computing. Raises what the network does where it does not take them."""
    weights = {name: tensor.to("meta") for name, tensor in network.state_dict().items()}
    functional_call(network.eval(), weights, torch.empty(2, 3, size, size, device="meta"))
    network.train()


def _keep_resolution(network: nn.Module) -> None:
    """The first convolution moves by one pixel; a max pooling between it and the second one goes."""
    convolutions = 0
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Conv2d):
            convolutions += 1
            if convolutions == 2:
                return
            module.stride = (1, 1)
        elif isinstance(module, nn.MaxPool2d):
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, nn.Identity())
            return
