"""Averaged weights: their formulas, what they leave alone, and that they are what is scored and kept."""

import io
import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from support import TINY, Command, composed, only_run
from torch import nn

from housenumbers.config.schema import TrainConfig
from housenumbers.config.sections import AveragingConfig
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.evaluation.score import evaluate_run
from housenumbers.metrics.tasks import accuracy_and_loss
from housenumbers.metrics.views import predict_logits
from housenumbers.models.normalize import Normalize
from housenumbers.training.averaging import WeightAverage
from housenumbers.training.checkpoint import load_checkpoint, weights_sha256
from housenumbers.training.loop import TrainingState, fit

CPU = torch.device("cpu")
SMALL = ("model.width=2", "model.blocks=[1]", "model.input_size=8", "data.batch_size=16", "optimizer.lr=0.01")


def labeled_images(count: int = 40) -> LabeledImages:
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return LabeledImages(images, torch.arange(count) % 10)


def fresh(config: TrainConfig) -> TrainingState:
    torch.manual_seed(0)
    return TrainingState.initial(config, 3, CPU)


def trained(config: TrainConfig, state: TrainingState, epochs: int | None = None) -> TrainingState:
    data = labeled_images()
    for _ in islice(fit(config, state, [data], data, lambda _: None), epochs):
        pass
    return state


def average_of(values: list[float], config: AveragingConfig, epochs: int, steps: int) -> float:
    """The average of a weight that has these values after the steps of each epoch."""
    model = nn.Linear(1, 1, bias=False)
    average = WeightAverage(model, config, epochs)
    for step, value in enumerate(values):
        nn.init.constant_(model.weight, value)
        average.update(epochs_done=step // steps + (step % steps + 1) / steps)
    return average.tensors["weight"].item()


def test_ema_forgets_by_its_decay_and_begins_where_it_is_told() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    assert average_of(values, AveragingConfig("ema", 0.5), 2, 2) == pytest.approx(0.5 * (0.5 * 1.5 + 0.5 * 4) + 4)
    assert average_of(values, AveragingConfig("ema", 0.5, start=0.5), 2, 2) == pytest.approx(6)


def test_swa_is_the_mean_over_the_ends_of_epochs_after_the_start() -> None:
    values = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    assert average_of(values, AveragingConfig("swa"), 4, 2) == pytest.approx((2 + 8 + 32 + 128) / 4)
    assert average_of(values, AveragingConfig("swa", start=0.5), 4, 2) == pytest.approx((32 + 128) / 2)
    assert average_of(values, AveragingConfig("swa", start=0.9), 4, 2) == 128
    numbers = [float(epoch) for epoch in range(1, 101)]
    assert average_of(numbers, AveragingConfig("swa", start=0.29), 100, 1) == pytest.approx(sum(numbers[29:]) / 71)


def test_frozen_weights_are_not_copied_and_whole_numbers_stay_whole() -> None:
    model = nn.Sequential(Normalize(32), nn.Conv2d(3, 2, 3).requires_grad_(False), nn.BatchNorm2d(2))
    average = WeightAverage(model, AveragingConfig("ema", 0.9), 1)
    for step in range(10):
        average.update(epochs_done=(step + 1) / 10)
    assert not any(name.startswith("1.") for name in average.tensors)
    assert average.tensors["0.input_size"].item() == 32


def test_the_models_own_weights_come_back_to_the_bit() -> None:
    config = composed(*SMALL, "averaging=swa", "averaging.start=0", "epochs=3")
    plain = composed(*SMALL, "epochs=3")
    states = [trained(each, fresh(each)) for each in (config, plain)]
    own, without = (weights_sha256(dict(state.model.named_parameters())) for state in states)
    assert own == without
    assert weights_sha256(states[0].weights()) != weights_sha256(states[1].weights())


@pytest.mark.parametrize("freeze_after", ["[]", "[0.4]"])
def test_after_swa_batch_norms_have_the_statistics_of_the_averaged_weights(freeze_after: str) -> None:
    words = ("averaging=swa", "averaging.start=0", f"progressive.freeze_after={freeze_after}", "data.batch_size=40")
    config = composed(*SMALL, *words, "epochs=3")
    state = trained(config, fresh(config))
    state.model.load_state_dict(state.weights())
    seen = []
    state.model.get_submodule("stem.0").register_forward_hook(lambda _, __, output: seen.append(output))
    predict_logits(state.model, [tuple(labeled_images())])
    norm = state.model.get_submodule("stem.1")
    torch.testing.assert_close(norm.running_mean, seen[0].mean(dim=(0, 2, 3)))
    torch.testing.assert_close(norm.running_var, seen[0].var(dim=(0, 2, 3)), rtol=1e-3, atol=1e-5)
    assert norm.momentum == 0.1


@pytest.mark.parametrize("method", ["ema", "swa"])
@pytest.mark.parametrize("frozen", [(), ("model.freeze=true",), ("model.freeze=1",)])
def test_what_is_validated_is_what_is_kept(method: str, frozen: tuple[str, ...]) -> None:
    """With the features of a frozen model computed once, too."""
    config = composed(*SMALL, *frozen, "epochs=3", f"averaging={method}", "averaging.start=0.3")
    state = fresh(config)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    trained(config, state)
    assert weights_sha256(state.weights()) != weights_sha256(state.model.state_dict())
    unchanged = {name for name, value in state.weights().items() if torch.equal(value, before[name])}
    assert bool(frozen) == ("stem.0.weight" in unchanged) == ("stem.1.running_mean" in unchanged)
    state.model.load_state_dict(state.weights())
    accuracy, loss = accuracy_and_loss(*predict_logits(state.model, [tuple(labeled_images())]))
    assert state.history[-1]["val_accuracy"] == accuracy
    assert state.history[-1]["val_loss"] == pytest.approx(loss, rel=1e-4)


# What is switched on, and what else is set, with it and without.
TECHNIQUES = [
    ("averaging=ema", ""),
    ("averaging=swa averaging.start=0", "augment=rotation"),
    ("averaging=swa averaging.start=0.3", "model.freeze=true"),
    ("augment.mixup=0.5", ""),
    ("scheduler.warmup_epochs=2.5", "scheduler=cosine"),
    ("scheduler=trapezoidal", "optimizer=muon"),
    ("progressive.sizes=[8,12]", "averaging=ema"),
    ("progressive.freeze_after=[0.3,0.6]", "averaging=ema optimizer=muon optimizer.backbone_lr_ratio=0.5"),
]


@pytest.mark.parametrize(("technique", "others"), TECHNIQUES)
def test_each_technique_goes_on_to_the_bit_and_changes_the_weights(technique: str, others: str) -> None:
    config = composed(*SMALL, *others.split(), *technique.split(), "epochs=4")
    whole = trained(config, fresh(config))
    for epochs in (1, 3):
        saved = io.BytesIO()
        torch.save(trained(config, fresh(config), epochs).state_dict(), saved)
        saved.seek(0)
        torch.manual_seed(1)  # a new process draws other initial weights, if any
        resumed = TrainingState.initial(config, 3, CPU)
        resumed.load_state_dict(torch.load(saved, weights_only=True))
        trained(config, resumed)
        assert weights_sha256(resumed.weights()) == weights_sha256(whole.weights())
        assert weights_sha256(resumed.model.state_dict()) == weights_sha256(whole.model.state_dict())
        assert [record["val_loss"] for record in resumed.history] == [record["val_loss"] for record in whole.history]
    without = composed(*SMALL, *others.split(), "epochs=4")
    assert weights_sha256(trained(without, fresh(without)).weights()) != weights_sha256(whole.weights())


def test_a_runs_files_hold_the_average_and_it_is_what_is_tested(command: Command, tmp_path: Path) -> None:
    done = command("train", *TINY, "averaging=ema", "averaging.decay=0.9", "data.val_fraction=0")
    assert done.returncode == 0, done.stderr
    folder = only_run(tmp_path)
    record = json.loads((folder / "run.json").read_text())
    best, last = (load_checkpoint(folder / f"checkpoints/{name}.pt") for name in ("best", "last"))
    assert record["weights_sha256"] == weights_sha256(best["model"]) != weights_sha256(last["model"])
    scores, _ = evaluate_run(folder / "checkpoints/last.pt", "test", [])
    assert scores["loss"] == record["test"]["loss"]
