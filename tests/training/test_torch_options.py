"""Options of torch's own optimizers and schedulers that have no schema: of the declared type, or one line."""

from typing import Any

import pytest
import torch

from housenumbers.runtime.errors import UserError
from housenumbers.training.build import build_optimizer, build_scheduler

CPU = torch.device("cpu")
TORCH = "torch.optim.lr_scheduler."


def optimizer(target: str = "torch.optim.SGD", **options: Any) -> torch.optim.Optimizer:
    return build_optimizer({"_target_": target, "lr": 0.1, **options}, torch.nn.Linear(2, 2), CPU)


@pytest.mark.parametrize(
    ("name", "option", "value", "said"),
    [
        ("RMSprop", "alpha", "abc", "alpha=abc: must be a number"),
        ("RMSprop", "alpha", None, "alpha=null: must be a number"),
        ("RMSprop", "centered", "false", "centered=false: must be true or false"),
        ("Adagrad", "initial_accumulator_value", 10**19, "initial_accumulator_value: 20 digits: must be smaller"),
        ("Adamax", "betas", [0.9, 0.9, 0.9], "betas=.*: must be a list of 2 values: a number, a number"),
        ("Adamax", "betas", 0.9, "betas=0.9: must be a list of 2 values"),
        ("Adafactor", "eps", ["a", "b"], "eps=.*: must be a list of 2 values: a number, or null, a number"),
        ("NAdam", "foreach", "abc", "foreach=abc: must be true or false, or null"),
    ],
)
def test_an_option_of_an_optimizer_has_its_type(name: str, option: str, value: Any, said: str) -> None:
    with pytest.raises(UserError, match=rf"^optimizer\.{said}"):
        optimizer(f"torch.optim.{name}", **{option: value})


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("CosineAnnealingWarmRestarts", {"T_0": None}, r"\.T_0=null: must be a whole number"),
        ("CosineAnnealingWarmRestarts", {"T_0": 2.5}, r"\.T_0=2.5: must be a whole number"),
        ("CosineAnnealingWarmRestarts", {"T_0": 2, "last_epoch": 5}, r"\.last_epoch=5: is set by the run itself"),
        ("MultiStepLR", {"milestones": 5}, r"\.milestones=5: must be a list, each value a whole number"),
        ("MultiStepLR", {"milestones": ["a"]}, r"\.milestones=.*: must be a list"),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": "x"}, r"\.max_lr=x: must be a number, or a list, each value a number"),
        ("CyclicLR", {"base_lr": 0.1, "max_lr": 1, "mode": "up"}, r"\.mode=up: must be triangular, triangular2 or"),
        ("LambdaLR", {"lr_lambda": "abc"}, r"\.lr_lambda=abc: must be a function"),
        ("LinearLR", {"start_factor": 0}, r": Starting multiplicative .*: give torch.*LinearLR other options than st"),
    ],
)
def test_an_option_of_a_scheduler_has_its_type(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=f"^scheduler{said}"):
        build_scheduler({"_target_": TORCH + name, **options}, optimizer(), 4, 5)


def test_options_of_their_types_are_taken() -> None:
    for name, options in {
        "RMSprop": {"alpha": 1, "centered": True, "foreach": None},
        "Adafactor": {"eps": [None, 0.001]},
        "Rprop": {"etas": [0.5, 1.2]},
    }.items():
        assert type(optimizer(f"torch.optim.{name}", **options)).__name__ == name
    for name, options in {
        "CosineAnnealingWarmRestarts": {"T_0": 2, "last_epoch": -1},
        "MultiStepLR": {"milestones": [1, 2]},
        "CyclicLR": {"base_lr": 0.1, "max_lr": [0.2], "cycle_momentum": False, "scale_fn": None},
    }.items():
        assert type(build_scheduler({"_target_": TORCH + name, **options}, optimizer(), 4, 5)[0]).__name__ == name
