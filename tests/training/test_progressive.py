"""Images that grow, and stages that stop learning, as the run goes on."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from support import Command, composed
from torch import Tensor, nn

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.runtime.errors import UserError
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.progressive import check_batch_shapes, check_progressive, freeze_stages, value_for_epoch

CPU = torch.device("cpu")
SMALL = ("model.width=2", "model.blocks=[1,1]", "model.input_size=16", "data.batch_size=20", "epochs=4")


def labeled_images() -> LabeledImages:
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return LabeledImages(images, torch.arange(20) % 10)


def test_the_network_sees_each_size_for_its_share_and_is_scored_at_its_own() -> None:
    config = composed(*SMALL, "progressive.sizes=[8,12]")
    state = TrainingState.initial(config, 1, CPU)
    seen: dict[bool, list[int]] = {True: [], False: []}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[module.training].append(inputs[0].shape[-1])

    state.model.get_submodule("stem").register_forward_pre_hook(note)
    for _ in fit(config, state, [labeled_images()], labeled_images(), lambda _: None):
        pass
    assert seen == {True: [8, 8, 12, 12], False: [16] * 4}


def test_a_stage_stops_after_its_share_statistics_included() -> None:
    config = composed(*SMALL, "progressive.freeze_after=[0.3,0.75]", "optimizer.weight_decay=0.1")
    state = TrainingState.initial(config, 1, CPU)
    stages = {"stem.": [], "stages.0.": [], "stages.1.": [], "head.": []}
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    for _ in fit(config, state, [labeled_images()], None, lambda _: None):
        now = {name: value.clone() for name, value in state.model.state_dict().items()}
        for stage, changes in stages.items():
            changes.append(any(not torch.equal(now[name], before[name]) for name in now if name.startswith(stage)))
        before = now
    assert stages == {
        "stem.": [True, True, False, False],
        "stages.0.": [True, True, True, False],
        "stages.1.": [True] * 4,
        "head.": [True] * 4,
    }


def test_a_share_that_is_no_binary_fraction_ends_with_its_epoch() -> None:
    config = composed(*SMALL, "progressive.freeze_after=[0.55]", "epochs=100")
    model = TrainingState.initial(config, 1, CPU).model
    learning = []
    for epoch in (55, 56):
        freeze_stages(config, model, epoch)
        learning.append(model.get_parameter("stem.0.weight").requires_grad)
    assert learning == [True, False]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model.width=2", "progressive.freeze_after=[0.1,0.2,0.3,0.4,0.5]"), "this model has 4 stages"),
        (
            ("model=fastnet", "model.channels=[8,8,8,8]", "model.convolutions=[1,1,1,1]", "progressive.sizes=[8,32]"),
            "does not take 8 pixels",
        ),
    ],
)
def test_what_a_model_cannot_do_is_said_before_the_first_step(words: tuple[str, ...], said: str) -> None:
    config = composed(*words)
    with pytest.raises(UserError, match=f"progressive.*{said}"):
        check_batch_shapes(config, TrainingState.initial(config, 1, CPU).model, labeled_images().images)


def test_the_last_size_is_not_left_out_where_there_are_fewer_epochs_than_sizes() -> None:
    assert value_for_epoch([16, 24, 32], 1, 1) == 32
    assert [value_for_epoch([16, 24, 32], epoch, 2) for epoch in (1, 2)] == [24, 32]
    assert [value_for_epoch([16, 24, 32], epoch, 6) for epoch in range(1, 7)] == [16, 16, 24, 24, 32, 32]


@pytest.mark.parametrize(("batch_size", "micro_batches", "works"), [(16, 1, False), (17, 1, True), (9, 8, False)])
def test_batches_too_small_for_batch_norm_are_said_before_the_first_epoch(
    command: Command, tmp_path: Path, batch_size: int, micro_batches: int, works: bool
) -> None:
    """A network whose last layers see one place alone, and 17 images to train on."""
    for index in range(17):
        (tmp_path / f"images/train/{index % 10}").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"images/test/{index % 10}").mkdir(parents=True, exist_ok=True)
        for part in ("train", "test"):
            Image.new("RGB", (32, 32), (index, 0, 0)).save(tmp_path / f"images/{part}/{index % 10}/{index}.png")
    words = ("data=folder", "data.root=images", "data.val_fraction=0", f"data.batch_size={batch_size}")
    model = ("model=torchvision", "model.architecture=shufflenet_v2_x0_5", "model.stem=original", "epochs=1")
    done = command("train", *words, *model, f"micro_batches={micro_batches}", "threads=1")
    if works:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert f"data.batch_size={batch_size}: leaves a (micro-)batch of 1" in line


def test_a_model_without_normalize_cannot_be_resized() -> None:
    with pytest.raises(UserError, match=r"progressive\.sizes.*`normalize`"):
        check_progressive(composed("progressive.sizes=[16]"), nn.Linear(1, 1))
