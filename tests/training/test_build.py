"""Optimizers and schedulers from their configuration files, and what may not be built."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import composed

from housenumbers.runtime.errors import UserError
from housenumbers.training.build import build_model, build_optimizer, build_scheduler, check_output
from housenumbers.training.schedules import scaled_learning_rates, warmup_factor

CPU = torch.device("cpu")


def learning_rates(*overrides: str, epochs: int = 4, steps: int = 5) -> list[float]:
    """The learning rate of every step of a run whose scheduler steps as its interval says."""
    config = composed(*overrides)
    model = torch.nn.Linear(1, 1)
    optimizer = build_optimizer(config.optimizer, model, CPU)
    scheduler, interval = build_scheduler(config.scheduler, optimizer, epochs, steps)
    rates = []
    for _ in range(epochs):
        for _ in range(steps):
            with scaled_learning_rates(optimizer, warmup_factor(config.scheduler, len(rates), steps)):
                rates.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
            if interval == "batch":
                scheduler.step()
        if interval == "epoch":
            scheduler.step()
    return rates


def test_step_multiplies_after_so_many_epochs() -> None:
    rates = learning_rates("scheduler=step", "scheduler.step_size=2", "optimizer.lr=1")
    assert rates == pytest.approx([1.0] * 10 + [0.1] * 10)


def test_cosine_falls_over_the_whole_run_by_epoch_or_by_batch() -> None:
    by_epoch = learning_rates("scheduler=cosine", "optimizer.lr=1")
    assert by_epoch[::5] == pytest.approx([1.0, 0.8536, 0.5, 0.1464], abs=1e-4)
    assert len(set(by_epoch)) == 4
    by_batch = learning_rates("scheduler=cosine", "optimizer.lr=1", "scheduler.interval=batch")
    assert by_batch == sorted(by_batch, reverse=True)
    assert len(set(by_batch)) == 20


def test_onecycle_rises_to_the_optimizers_rate_and_falls() -> None:
    rates = learning_rates("scheduler=onecycle", "optimizer.lr=1")
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(1.0, abs=0.02)
    assert 4 <= peak <= 6
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[-1] < 0.01


def test_none_keeps_the_rate() -> None:
    assert learning_rates("scheduler=none", "optimizer.lr=0.5") == [0.5] * 20


def test_warmup_rises_at_every_step_and_then_leaves_the_schedule_to_itself() -> None:
    ending_above_0 = ("scheduler=cosine", "scheduler.interval=batch", "scheduler.eta_min=0.9")
    for words in (("scheduler=none",), ("scheduler=step", "scheduler.step_size=1"), ending_above_0):
        plain = learning_rates(*words, "optimizer.lr=1")
        warm = learning_rates(*words, "optimizer.lr=1", "scheduler.warmup_epochs=1.4")
        assert warm == pytest.approx([rate * min(1, (step + 1) / 8) for step, rate in enumerate(plain)])


def test_trapezoidal_rises_stays_and_falls_to_nothing() -> None:
    rates = learning_rates("scheduler=trapezoidal", "scheduler.warmup=0.2", "scheduler.decay=0.5", "optimizer.lr=2")
    rising, falling = [0.5, 1.0, 1.5, 2.0], [2.0 * left / 10 for left in range(10, 0, -1)]
    assert rates == pytest.approx([*rising, *[2.0] * 6, *falling])
    abrupt = learning_rates("scheduler=trapezoidal", "scheduler.warmup=0", "scheduler.decay=0", "optimizer.lr=2")
    assert abrupt == [2.0] * 20
    falling_from_the_peak = ("scheduler=trapezoidal", "scheduler.warmup=0.8", "scheduler.decay=0.2", "optimizer.lr=2")
    assert learning_rates(*falling_from_the_peak)[14:17] == pytest.approx([1.875, 2.0, 2.0])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_optimizers_are_fused_and_take_their_options(name: str) -> None:
    config = composed(f"optimizer={name}", "optimizer.lr=0.25", "optimizer.weight_decay=0.125")
    optimizer = build_optimizer(config.optimizer, torch.nn.Linear(2, 2), CPU)
    assert type(optimizer).__name__.lower() == name
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["fused"]) == (0.25, 0.125, True)


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.Popen", "builtins.eval", "torch.hub.load", "housenumbers.models.no.Such"]
)
def test_a_configuration_from_elsewhere_cannot_call_anything_else(target: str) -> None:
    with pytest.raises(UserError, match="model: "):
        build_model({"_target_": target, "name": "evil"}, CPU)


def test_arguments_that_a_model_does_not_take_are_one_line() -> None:
    with pytest.raises(UserError, match="colour"):
        build_model({"_target_": "housenumbers.models.resnet.ResNet", "colour": "red"}, CPU)


def test_a_bug_inside_a_model_keeps_its_traceback() -> None:
    with pytest.raises(TypeError):
        build_model({"_target_": "housenumbers.models.resnet.ResNet", "width": 4, "blocks": 5}, CPU)


@pytest.mark.parametrize("target", ["torch.optim.lr_scheduler", "torch.optim.Nothing", "torch.hub.load"])
def test_what_is_no_optimizer_is_one_line(target: str) -> None:
    with pytest.raises(UserError, match="optimizer: "):
        build_optimizer({"_target_": target, "lr": 0.1}, torch.nn.Linear(2, 2), CPU)


def test_options_that_torch_refuses_are_one_line() -> None:
    config = composed("optimizer=sgd", "optimizer.nesterov=true", "+optimizer.dampening=0.1")
    with pytest.raises(UserError, match="optimizer: Nesterov"):
        build_optimizer(config.optimizer, torch.nn.Linear(2, 2), CPU)
    with pytest.raises(UserError, match=r"scheduler\.last_epoch=3: is set by the run itself"):
        learning_rates("scheduler=step", "+scheduler.last_epoch=3")
    with pytest.raises(UserError, match=r"optimizer\.differentiable=true: "):
        learning_rates("+optimizer.differentiable=true")


def test_what_needs_the_loss_itself_is_refused() -> None:
    model = torch.nn.Linear(2, 2)
    with pytest.raises(UserError, match="optimizer: LBFGS"):
        build_optimizer({"_target_": "torch.optim.LBFGS", "lr": 0.1}, model, CPU)


@pytest.mark.parametrize(
    ("group", "target"),
    [
        ("model", "torch.optim.Adam"),
        ("optimizer", "housenumbers.models.resnet.ResNet"),
        ("scheduler", "torch.optim.SGD"),
    ],
)
def test_what_gives_something_else_is_one_line(group: str, target: str) -> None:
    linear = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 0.1)
    option = {"_target_": target, "_partial_": True}
    build: dict[str, Callable[[], object]] = {
        "model": lambda: build_model(option, CPU),
        "optimizer": lambda: build_optimizer(option, linear, CPU),
        "scheduler": lambda: build_scheduler(option, optimizer, 4, 5),
    }
    with pytest.raises(UserError, match=f"{group}: {target}: returns a .*, not a "):
        build[group]()


def test_an_optimizer_of_ones_own_by_the_name_of_one_of_torchs_gets_its_own_keys_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "my_optimizers.py").write_text(
        "import torch\n\n\nclass Adam(torch.optim.SGD):\n    def __init__(self, params, lr):\n"
        "        super().__init__(params, lr)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "my_optimizers.Adam")
    optimizer = build_optimizer({"_target_": "my_optimizers.Adam", "lr": 0.5}, torch.nn.Linear(2, 2), CPU)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_plateau_waits_for_a_lower_loss() -> None:
    config = composed("scheduler=plateau", "scheduler.patience=1", "scheduler.factor=0.5", "optimizer.lr=1")
    optimizer = build_optimizer(config.optimizer, torch.nn.Linear(1, 1), CPU)
    plateau: Any
    plateau, interval = build_scheduler(config.scheduler, optimizer, 9, 5)
    assert interval == "validation"
    rates = []
    for loss in (3.0, 2.0, 2.0, 2.0, 1.0, 1.0, 1.0):
        plateau.step(loss)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_what_the_run_itself_sets_cannot_be_set() -> None:
    chosen = {"_target_": "torch.optim.SGD", "lr": 0.1, "params": 3}
    with pytest.raises(UserError, match=r"optimizer\.params: is set by the run itself"):
        build_optimizer(chosen, torch.nn.Linear(2, 2), CPU)


class Returns(torch.nn.Module):
    """A model of the user's own, which returns what it was made with for each image."""

    def __init__(self, output: Callable[[int], Any]) -> None:
        super().__init__()
        self.output = output

    def forward(self, images: torch.Tensor) -> Any:
        return self.output(len(images))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            lambda count: torch.zeros(count, 5),
            r"returns \[2, 5\] for images \[2, 3, 32, 32\]: must be logits \[N, 10\]",
        ),
        (lambda count: torch.zeros(count), r"returns \[2\]"),
        (lambda count: [0.0] * count, "returns a list"),
        (lambda count: torch.rand(count, 10).softmax(dim=1), "returns probabilities: .* leave out the softmax"),
    ],
)
def test_a_custom_model_that_returns_no_logits_is_one_line(output: Callable[[int], Any], said: str) -> None:
    images, labels = torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
    with pytest.raises(UserError, match=f"model: mymodels.Net: {said}"):
        check_output(Returns(output), "mymodels.Net", images, labels)
    check_output(Returns(lambda count: torch.zeros(count, 10)), "mymodels.Net", images, labels)


class TupleInTraining(torch.nn.Module):
    """A model of the user's own that also returns something else in training mode, as some of torchvision do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.Dropout(), torch.nn.Flatten())
        self.head = torch.nn.Linear(3 * 32 * 32, 10)

    def forward(self, images: torch.Tensor) -> Any:
        logits = self.head(self.layers(images))
        return (logits, images) if self.training else logits


def test_a_custom_model_is_also_tried_in_training_mode_and_not_changed() -> None:
    images, labels = torch.rand(2, 3, 32, 32), torch.zeros(2, dtype=torch.long)
    model = TupleInTraining()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.get_rng_state()
    with pytest.raises(UserError, match=r"returns a tuple for images .* in training mode: must be"):
        check_output(model, "mymodels.Net", images, labels)
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training


def test_a_lazy_layer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "torch.nn.*")
    with pytest.raises(UserError, match=r"^model: torch\.nn\.LazyLinear: has a lazy layer"):
        build_model({"_target_": "torch.nn.LazyLinear", "out_features": 10}, CPU)


def test_a_custom_model_of_numbers_returns_logits_of_each_place() -> None:
    images, labels = torch.zeros(2, 3, 32, 48), torch.full((2, 6), -1)
    check_output(Returns(lambda count: torch.zeros(count, 12, 11)), "mymodels.Net", images, labels)
    with pytest.raises(UserError, match=r"returns \[2, 10\] .* must be logits \[N, T, 11\], for CTC"):
        check_output(Returns(lambda count: torch.zeros(count, 10)), "mymodels.Net", images, labels)


@pytest.mark.parametrize("interval", ["epoch", "batch"])
def test_one_cycle_in_one_step_is_refused(interval: str) -> None:
    config = composed("scheduler=onecycle", f"scheduler.interval={interval}", "epochs=1")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    with pytest.raises(UserError, match=r"scheduler: 1 step, too few for scheduler\.pct_start"):
        build_scheduler(config.scheduler, optimizer, 1, 1)
