"""Arguments that are not as documented: an InputError of one line, which names the argument and what it must be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import housenumbers


@pytest.mark.parametrize("given", [None, 3, True, b"x", ["last"], "", " "])
def test_a_run_is_a_text_or_a_path(given: Any) -> None:
    for call in (housenumbers.load_model, housenumbers.open_run):
        with pytest.raises(housenumbers.InputError, match=r"^run=.*: must be a "):
            call(given)
    with pytest.raises(housenumbers.InputError, match=r"^folder=.*: must be a run's folder"):
        housenumbers.Run(given)


def test_the_working_folder_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (housenumbers.load_model, housenumbers.open_run):
        with pytest.raises(housenumbers.UserError, match=r"^\.: not a run's folder: it has no run\.json"):
            call(Path())


@pytest.mark.parametrize("given", [3, True, "", "gpu", "cpu\ncuda", torch.device("meta")])
def test_a_device_is_the_name_of_one(given: Any) -> None:
    with pytest.raises(housenumbers.InputError, match=r"^device=.*: must be auto, cpu, cuda, cuda:N or mps, or None"):
        housenumbers.load_model(device=given)


@pytest.mark.parametrize("given", ["1", "a", 0, -1, 1.5, True, float("nan"), 10**9])
def test_threads_are_a_whole_number(given: Any) -> None:
    with pytest.raises(housenumbers.InputError, match=r"^threads=.*: must be a whole number from 1 to 1024, or None"):
        housenumbers.load_model(threads=given)


def test_what_numpy_and_torch_have_of_them_is_taken() -> None:
    with pytest.raises(housenumbers.InputError, match=r"^precision='half': must be float32 or bfloat16$"):
        housenumbers.load_model(precision="half")  # type: ignore[arg-type]
    assert housenumbers.load_model(device=torch.device("cpu"), threads=np.int64(1))  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["0.5", None, True, float("nan"), -0.1, 1.1])
def test_a_confidence_is_a_number_from_0_to_1(given: Any) -> None:
    with pytest.raises(housenumbers.InputError, match=r"^min_confidence=.*: must be a number from 0 to 1"):
        housenumbers.load_model("pretrained_numbers", threads=1).read([], min_confidence=given)


def test_words_are_in_a_fixed_order(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("data=digits\n")
    with (tmp_path / "words.txt").open() as file:
        for given in ({"data=digits", "seed=1"}, file):
            with pytest.raises(housenumbers.InputError, match=r"^overrides: must be a list of words"):
                housenumbers.compose(given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "meant"),
    [("pretraind_numbers", "pretrained_numbers"), ("pretrained-digits", "pretrained_digits"), ("Last", "last")],
)
def test_a_misspelt_name_of_a_model_is_told_the_right_one(
    given: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (housenumbers.load_model, housenumbers.open_run):
        with pytest.raises(housenumbers.UserError, match=rf"^run={given}: .*: did you mean {meant}\?"):
            call(given)


def test_names_with_line_breaks_and_too_long_ones_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (housenumbers.load_model, housenumbers.open_run):
        for name, said in (("no\nsuch", "^run=no such: no such folder"), ("x" * 300, "choose a shorter name")):
            with pytest.raises(housenumbers.UserError, match=said) as raised:
                call(name)
            assert "\n" not in str(raised.value)
