"""A loaded model says what is wrong with what it is handed over, and answers the same for images in either form."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support import composed
from torch import Tensor

from housenumbers.config.values import config_to_dict
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.evaluation.occlusion import occlusion
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model, rebuild_model
from housenumbers.prediction.predict_files import predict_files
from housenumbers.runtime.errors import InputError, UserError
from housenumbers.training import reproducibility
from housenumbers.training.build import build_model
from housenumbers.training.checkpoint import load_checkpoint, save_checkpoint

IMAGES = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(5)


@pytest.fixture(scope="module", params=["model=resnet31 model.width=4 model.blocks=[1]", "model=fastnet"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    config = composed("data=digits", "threads=1", *request.param.split())
    torch.manual_seed(0)
    model = build_model(config.model, torch.device("cpu"))
    file = tmp_path_factory.mktemp("trained") / "model.pt"
    save_checkpoint(file, {"config": config_to_dict(config), "model": model.state_dict()})
    return load_trained_model(file)


def test_floats_on_the_same_scale_give_the_same(trained: TrainedModel) -> None:
    expected = trained.logits(IMAGES)
    for floats in (IMAGES.float(), IMAGES.double(), IMAGES.float().clone(memory_format=torch.channels_last)):
        assert torch.equal(trained.logits(floats), expected)
        torch.testing.assert_close(trained.model(images=floats), trained.model(IMAGES))  # layouts round otherwise
    black = torch.zeros(1, 3, 32, 32)
    assert torch.equal(trained.logits(black), trained.logits(black.to(torch.uint8)))
    assert trained.logits(IMAGES[:0]).shape == (0, 10)
    dark = torch.ones(1, 3, 32, 32, dtype=torch.uint8)  # of bytes there is but one scale
    maps, _ = occlusion(trained.logits, dark, torch.tensor([3]))
    assert maps.isfinite().all()


def test_bfloat16_where_the_device_has_it(trained: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = trained.logits(IMAGES)
    monkeypatch.setattr(reproducibility, "_cpu_has_bfloat16", lambda: False)
    without = load_trained_model(trained.file, bfloat16=True)
    assert not without.bfloat16
    assert torch.equal(without.logits(IMAGES), exact)
    monkeypatch.setattr(reproducibility, "_cpu_has_bfloat16", lambda: True)  # else torch emulates it
    rounded = load_trained_model(trained.file, bfloat16=True).logits(IMAGES)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, rtol=0.05, atol=0.05 * float(exact.abs().max()))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES / 255, "multiply them by 255"),
        ((IMAGES > 99).float(), "multiply them by 255"),
        (IMAGES / 255 * 1.05, "multiply them by 255"),  # such as after bicubic resizing
        ((IMAGES / 255).half(), "multiply them by 255"),
        ((IMAGES / 255 - 0.5) / 0.5, "undo their normalization"),
        (IMAGES.float() * 257, "0..255"),
        (IMAGES.float().index_fill(0, torch.tensor([2]), torch.nan), "finite"),
        (IMAGES.float().index_fill(0, torch.tensor([2]), torch.inf), "finite"),
        (IMAGES.long(), "int64"),
        (IMAGES > 99, "bool"),
        (IMAGES.permute(0, 2, 3, 1), r"movedim\(-1, -3\)"),
        (IMAGES[0].permute(1, 2, 0), r"movedim\(-1, -3\)"),
        (IMAGES[0], r"batch one image by \[None\]"),
        ((IMAGES > 127).to(torch.uint8), "multiply the floats by 255 before the cast"),
        (IMAGES[:, :1], "expand"),
        (torch.cat([IMAGES, IMAGES[:, :1]], dim=1), "RGB"),
        (IMAGES[None], "N, 3, H, W"),
        (IMAGES.numpy(), "ndarray"),
        (np.zeros((1, 3, 32, 32)), "ndarray"),
        ([IMAGES], "list"),
    ],
)
def test_what_are_no_images_is_refused_at_every_door(trained: TrainedModel, images: Tensor, said: str) -> None:
    for door in (
        trained.model,
        trained.logits,
        lambda given: trained.model(images=given),
        lambda given: trained.predict(LabeledImages(given, LABELS)),
    ):
        with pytest.raises(InputError, match=said):
            door(images)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LABELS[:4], r"one for each image, not \[4\]"),
        (LABELS + 0.5, "whole"),
        (LABELS * torch.nan, "0..9"),
        (LABELS[:, None], r"one for each image, not \[5, 1\]"),
        (LABELS + 6, r"0\.\.9, not 6\.\.10"),
        (LABELS - 1, "not -1"),
        (LABELS - 100, "not -100"),  # which a cross entropy leaves out
    ],
)
def test_what_are_no_labels_is_refused(trained: TrainedModel, labels: Tensor, said: str) -> None:
    with pytest.raises(InputError, match=said):
        trained.predict(LabeledImages(IMAGES, labels))


def test_black_images_and_dark_files_are_answered(trained: TrainedModel, tmp_path: Path) -> None:
    black = torch.zeros_like(IMAGES)
    assert torch.equal(trained.model(black), trained.model(black.float()))
    assert trained.logits(black).isfinite().all()
    dark = black.clone()
    dark[:, :, 3, 4] = 1
    assert trained.logits(torch.cat([dark, IMAGES])).isfinite().all()
    Image.fromarray(dark[0].permute(1, 2, 0).numpy()).save(tmp_path / "dark.png")
    (prediction,) = predict_files(trained, [tmp_path / "dark.png"], pytest.fail)
    assert prediction.label in range(10)


def test_too_little_memory_is_a_line_with_what_helps_here(
    trained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("housenumbers.evaluation.trained_model.predict_views", full)
    with pytest.raises(UserError, match=r"^out of memory: .*device=cpu"):
        trained.logits(IMAGES)


def test_a_path_may_be_text(trained: TrainedModel) -> None:
    assert torch.equal(load_trained_model(str(trained.file)).logits(IMAGES), trained.logits(IMAGES))


def test_a_model_from_a_checkpoint_is_as_careful(trained: TrainedModel) -> None:
    model = rebuild_model(load_checkpoint(trained.file), trained.file, torch.device("cpu")).eval()
    torch.testing.assert_close(model(IMAGES.float()), model(IMAGES))
    with pytest.raises(InputError, match="multiply them by 255"):
        model(IMAGES / 255)


def test_it_can_still_be_compiled(trained: TrainedModel) -> None:
    traced = torch.compile(trained.model, backend="eager", fullgraph=True)
    assert torch.equal(traced(IMAGES), trained.model(IMAGES))
