"""Every option of conf/model, and every classifier of torchvision, from images to logits."""

import pytest
import torch
import torchvision
from support import MODELS, TINY, Command, composed
from torch import nn

from housenumbers.models.torchvision_classifier import TorchvisionClassifier
from housenumbers.runtime.errors import UserError
from housenumbers.training.build import build_model

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", MODELS)
def test_every_option_learns_from_a_batch_of_images(name: str) -> None:
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra .[lite]")
    more = ["model.architecture=shufflenet_v2_x0_5"] if name == "torchvision" else []
    torch.manual_seed(0)
    model = build_model(composed(f"model={name}", *more).model, CPU)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    logits = model(images)
    assert logits.shape == (2, 10)
    logits.sum().backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in model.parameters())
    model.eval()
    assert torch.equal(model(images), model(images.float()))


# Those that can be built without their weights; the other regnets differ from the two small ones in numbers alone.
LARGE_REGNETS = [name for name in torchvision.models.list_models(include="regnet_*") if not name.endswith("_400mf")]


@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", torchvision.models.list_models(module=torchvision.models, exclude=LARGE_REGNETS)
)
def test_every_classifier_of_torchvision_gives_logits(architecture: str) -> None:
    """On the meta device, which knows shapes and computes nothing."""
    device = torch.device("cpu" if architecture.startswith("regnet") else "meta")
    with device:
        model = TorchvisionClassifier(architecture, input_size=224, stem="original")
        images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
        assert model(images).shape == (2, 10)


@pytest.mark.parametrize("architecture", ["resnet18", "densenet121", "mobilenet_v3_small", "shufflenet_v2_x1_0"])
def test_the_small_stem_keeps_the_first_layers_at_full_resolution(architecture: str) -> None:
    model = TorchvisionClassifier(architecture).eval()
    sizes: list[int] = []
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    convolutions[1].register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].shape[-1]))
    model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    assert sizes == [32]


def test_googlenet_gets_images_as_its_published_weights_expect_them() -> None:
    """torchvision's own with `transform_input`, which it sets where it loads them, takes ImageNet's mean and std."""
    options = {"num_classes": 10, "aux_logits": False, "init_weights": False}
    theirs = torchvision.models.googlenet(transform_input=True, **options).eval()
    ours = TorchvisionClassifier("googlenet", input_size=64, stem="original").eval()
    ours.network.load_state_dict(theirs.state_dict())
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(ours(images), theirs((images / 255 - mean) / std), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"architecture": "resnet1"}, r"model\.architecture=resnet1: torchvision has no such classifier: alexnet, "),
        ({"architecture": "vit_b_16", "input_size": 33}, r"model\.input_size=33: vit_b_16"),
        ({"architecture": "vit_b_16"}, r"model\.input_size=32: vit_b_16 does not take it with stem=small"),
        ({"architecture": "inception_v3"}, r"model\.input_size=32: inception_v3 .*model\.input_size=224"),
    ],
)
def test_what_torchvision_does_not_have_or_take_is_one_line(options: dict, said: str) -> None:
    target = "housenumbers.models.torchvision_classifier.TorchvisionClassifier"
    with pytest.raises(UserError, match=said):
        build_model({"_target_": target, **options}, CPU)


@pytest.mark.slow
def test_a_classifier_by_name_trains_and_is_evaluated_from_its_checkpoint(command: Command) -> None:
    words = [word for word in TINY if not word.startswith("model.")]
    done = command("train", *words, "epochs=1", "model=torchvision", "model.architecture=shufflenet_v2_x0_5")
    assert done.returncode == 0, done.stderr
    assert "shufflenet_v2_x0_5, " in done.stdout
    evaluated = command("evaluate", "run=last")
    assert evaluated.returncode == 0, evaluated.stderr
    missing = command("train", *words, "model=torchvision")
    assert missing.returncode == 2
    (line,) = missing.stderr.splitlines()
    assert "model.architecture" in line
