"""A metric of the user's own that fails is named, with the call that failed."""

from pathlib import Path

import pytest
import torch

from housenumbers.runtime.errors import UserError
from housenumbers.training.custom_metrics import custom_metrics

CODE = """
def one(logits):
    return 1.0


def two(logits, labels):
    return {"a": 1}


def three(logits, labels):
    return logits


def four(logits, labels):
    return logits + "a"


def five(logits, labels):
    return "0.5"
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("one", r"metrics\.m: called with logits \[2, 10\] and labels \[2\]: TypeError: one\(\) takes [^(]*$"),
        ("two", r"metrics\.m: returns a dict: must be a number"),
        ("five", r"metrics\.m: returns a str: must be a number"),
        ("three", r"metrics\.m: returns a tensor \[2, 10\]: must be a number"),
        ("four", r"metrics\.m: called with logits .*: TypeError: unsupported operand .*my_metrics\.py, line 15\)"),
    ],
)
def test_what_fails_is_named(name: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my_metrics.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "my_metrics.*")
    option = {"_target_": f"my_metrics.{name}", "_partial_": True}
    with pytest.raises(UserError, match=said):
        custom_metrics({"m": option}, torch.zeros(2, 10), torch.zeros(2, dtype=torch.long))
