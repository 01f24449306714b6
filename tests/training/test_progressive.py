"""Pictures that grow, and stages that stop learning, as the run goes on."""

import pytest
import torch
from support import composed
from torch import Tensor, nn

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.errors import UserError
from housenumbers.training.loop import TrainingState, fit
from housenumbers.training.progressive import check_progressive

CPU = torch.device("cpu")
SMALL = ("model.width=2", "model.blocks=[1,1]", "model.input_size=16", "data.batch_size=20", "epochs=4")


def pictures() -> LabeledImages:
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return LabeledImages(images, torch.arange(20) % 10)


def test_the_network_sees_each_size_for_its_share_and_is_scored_at_its_own() -> None:
    config = composed(*SMALL, "progressive.sizes=[8,12]")
    state = TrainingState.fresh(config, 1, CPU)
    seen: dict[bool, list[int]] = {True: [], False: []}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[module.training].append(inputs[0].shape[-1])

    state.model.get_submodule("stem").register_forward_pre_hook(note)
    for _ in fit(config, state, [pictures()], pictures(), lambda _: None):
        pass
    assert seen == {True: [8, 8, 12, 12], False: [16] * 4}


def test_a_stage_stops_after_its_share_statistics_included() -> None:
    config = composed(*SMALL, "progressive.freeze_after=[0.3,0.75]", "optimizer.weight_decay=0.1")
    state = TrainingState.fresh(config, 1, CPU)
    stages = {"stem.": [], "stages.0.": [], "stages.1.": [], "head.": []}
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    for _ in fit(config, state, [pictures()], None, lambda _: None):
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model.width=2", "progressive.freeze_after=[0.1,0.2,0.3,0.4,0.5]"), "this model has 4 stages"),
        (("model=fastnet", "progressive.sizes=[8,32]"), "does not take 8 pixels"),
    ],
)
def test_what_a_model_cannot_do_is_said_before_the_first_step(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=f"progressive.*{said}"):
        TrainingState.fresh(composed(*words), 1, CPU)


def test_a_model_without_normalize_cannot_be_resized() -> None:
    with pytest.raises(UserError, match=r"progressive\.sizes.*`normalize`"):
        check_progressive(composed("progressive.sizes=[16]"), nn.Linear(1, 1))
