"""What a record says of the machine that its bits come from."""

import os
import re
import shutil
import subprocess

import pytest
import torch

from housenumbers.training.reproducibility import environment, seed_everything


@pytest.mark.skipif(shutil.which("lscpu") is None, reason="needs lscpu to compare with")
def test_processors_of_one_name_and_two_generations_are_told_apart() -> None:
    told = subprocess.run(["lscpu"], env={"LC_ALL": "C"}, capture_output=True, text=True, check=True).stdout
    found = [re.search(rf"^\s*{what}:\s*(\d+)$", told, re.MULTILINE) for what in ("CPU family", "Model")]
    if None in found:
        pytest.skip("a processor without family and model")
    family, model = (match[1] for match in found if match)
    assert f"(family {family}, model {model})" in environment(torch.device("cpu"))["cpu"]


def test_the_record_names_what_else_decides_the_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    before = environment(torch.device("cpu"))["arithmetic"]
    assert before["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert "MKL_CBWR" not in before
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert environment(torch.device("cpu"))["arithmetic"] == before | {"MKL_CBWR": "COMPATIBLE"}


def test_what_a_run_sets_for_its_process_is_no_difference_between_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    first = environment(torch.device("cpu"))
    seed_everything(0)
    assert "CUBLAS_WORKSPACE_CONFIG" in os.environ
    assert environment(torch.device("cpu")) == first
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    assert environment(torch.device("cpu"))["arithmetic"]["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
