"""Folding changes no label, whatever the model, and folds all that can be folded."""

import pytest
import torch
from networks import blurred, used
from support import MODELS, composed
from torch import Tensor, nn

from housenumbers.models.fold_batch_norm import fold_batch_norms
from housenumbers.training.build import build_model

# How many batch norms stay in each option of conf/model: those behind sums, concatenations, or a padding of their own.
STAY = {
    "densenet121": 62,
    "efficientnet_b0": 0,
    "efficientnet_lite0": 49,
    "fastnet": 0,
    "mobilenet_v3_small": 0,
    "preact_resnet31": 7,
    "resnet31": 0,
    "resnet50": 0,
    "resnet56": 0,
    "torchvision": 0,
    "wide_resnet16_4": 6,
    "wide_resnet16_8": 6,
}


def batch_norms(model: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def assert_equal_labels(model: nn.Module, images: Tensor) -> nn.Module:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    other = fold_batch_norms(model)
    with torch.inference_mode():
        logits, ours = model(images), other(images)
    rounding = 1e-3 * logits.std(dim=0).mean()  # a small part of what tells images apart
    assert (ours - logits).abs().max() < rounding
    first, second = logits.topk(2, dim=1).values.unbind(dim=1)
    clear = first - second > 2 * rounding
    assert clear.float().mean() > 0.9
    assert torch.equal(ours.argmax(dim=1)[clear], logits.argmax(dim=1)[clear])
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    return other


@pytest.mark.parametrize("name", MODELS)
def test_every_option_gives_the_same_labels(name: str) -> None:
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra .[lite]")
    more = ["model.architecture=shufflenet_v2_x0_5"] if name == "torchvision" else []
    torch.manual_seed(0)
    model = build_model(composed(f"model={name}", *more).model, torch.device("cpu"))
    images = blurred(40)
    other = assert_equal_labels(used(model, images), images)
    assert batch_norms(other) == STAY[name]


def test_a_batch_norm_that_reverses_a_channel_stays_behind_its_max_pooling() -> None:
    torch.manual_seed(0)
    images = blurred(40)
    model = used(build_model(composed("model=fastnet").model, torch.device("cpu")), images)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        norms[0].weight[3] = -0.7  # no pooling before this one: it is folded
        norms[1].weight[5] = -0.7
    assert batch_norms(assert_equal_labels(model, images)) == 1


def test_a_batch_norm_that_no_convolution_could_take_stays_behind_its_max_pooling_too() -> None:
    """It would look at four times as many pixels."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(900, 10))
    model, images = nn.Sequential(*layers), torch.rand(40, 3, 32, 32)
    other = assert_equal_labels(used(model, images), images)
    (norm,) = (module for module in other.modules() if isinstance(module, nn.BatchNorm2d))
    sizes = []
    norm.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    other(images)
    assert sizes == [15]


class Reader(nn.Module):
    """Looks at its images to choose what to do, and uses its layers twice where it is told to."""

    def __init__(self, looks: bool) -> None:
        super().__init__()
        self.looks = looks
        self.convolution = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 10)

    def forward(self, images: Tensor) -> Tensor:
        features = self.norm(self.convolution(images.float() / 255))
        if not self.looks or features.mean() > -1e9:
            features = self.norm(self.convolution(features))
        return self.head(features.mean(dim=(2, 3)))


@pytest.mark.parametrize("looks", [True, False])
def test_what_cannot_be_folded_is_left_as_it_is(looks: bool) -> None:
    torch.manual_seed(0)
    images = blurred(40)
    other = assert_equal_labels(used(Reader(looks), images), images)
    assert batch_norms(other) == 1
    assert not other.training


def test_images_of_another_size_are_resized_by_the_folded_model_too() -> None:
    torch.manual_seed(0)
    model = used(build_model(composed("model=resnet31", "model.width=4").model, torch.device("cpu")), blurred(40))
    assert_equal_labels(model, nn.functional.interpolate(blurred(40), (48, 48)))
