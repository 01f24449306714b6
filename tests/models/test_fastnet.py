"""The small network: what its first layer does to images, and that it is blind to brightness and contrast."""

import pytest
import torch
from support import composed

from housenumbers.models.fastnet import FastNet, equal_contrast
from housenumbers.runtime.errors import UserError
from housenumbers.training.build import build_model


def correlated(count: int = 300) -> torch.Tensor:
    """Images whose neighbouring pixels and channels are alike, as in photos."""
    noise = torch.rand(count, 1, 36, 36, generator=torch.Generator().manual_seed(0))
    grey = torch.nn.functional.avg_pool2d(noise, 5, stride=1)
    tint = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 0.1
    return ((grey + tint).clamp(0, 1) * 255).to(torch.uint8)


def test_it_takes_what_every_model_takes() -> None:
    model = FastNet()
    assert sum(parameter.numel() for parameter in model.parameters()) == 241_360
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    model.eval()
    assert model(images).shape == (4, 10)
    torch.testing.assert_close(model(images), model(images.float()))


def test_the_first_layer_whitens_patches_of_the_training_images() -> None:
    model, images = FastNet(), correlated()
    model.initialize_from(images)
    with torch.no_grad():
        white = model.whiten(equal_contrast(model.normalize(images))).transpose(0, 1).flatten(1)
    directions = len(white) // 2
    torch.testing.assert_close(white[directions:], -white[:directions])
    covariance = white[:directions] @ white[:directions].T / white.shape[1]
    strong = covariance.diag() > 0.5  # beyond these the floor of the eigenvalues tells
    assert strong.sum() >= 3
    torch.testing.assert_close(
        covariance[strong][:, strong], torch.eye(int(strong.sum())), atol=0.2, rtol=0
    )  # the floor takes off a little


def test_brightness_and_contrast_of_a_image_do_not_matter() -> None:
    torch.manual_seed(0)  # whatever tests ran before
    model = FastNet().eval()
    images = correlated(8).float()
    torch.testing.assert_close(model(images), model(images * 0.6 + 50), atol=0.05, rtol=0.05)


def test_the_first_layer_is_not_trained() -> None:
    model = FastNet()
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert "whiten.weight" not in trained
    assert len(trained) == 5 + 2 * 5 + 1, "convolutions, batch norms, head"


@pytest.mark.parametrize(
    ("word", "named"),
    [
        ("model.channels=[8,0]", "model.channels"),
        ("model.convolutions=[1]", "model.convolutions"),
        ("model.activation=tanh", "model.activation"),
        ("model.input_size=8", "model.channels"),
    ],
)
def test_mistakes_name_the_key(word: str, named: str) -> None:
    with pytest.raises(UserError, match=rf"^{named}="):
        composed("model=fastnet", word)


def test_shape_and_activation_come_from_the_configuration() -> None:
    chosen = composed(
        "model=fastnet", "model.channels=[8,16]", "model.convolutions=[1,3]", "model.activation=relu"
    ).model
    model = build_model(chosen, torch.device("cpu"))
    assert model.head.in_features == 16  # type: ignore[union-attr]
    assert not any(isinstance(module, torch.nn.GELU) for module in model.modules())
