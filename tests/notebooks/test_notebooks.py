"""The notebooks run from their first cell to their last, in a folder of their own."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, environment

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def test_there_are_notebooks_in_the_percent_format() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"first_steps", "learning_rate"}
    for path in NOTEBOOKS:
        assert path.read_text().startswith("# %% [markdown]\n# # ")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    env = environment(PYTHONPATH=str(ROOT / "src"), MPLBACKEND="agg", OMP_NUM_THREADS="1")
    command = [sys.executable, "-W", "ignore:FigureCanvasAgg", str(path)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["outputs"]
    last = done.stdout.splitlines()
    assert ("True" in last) if path.stem == "first_steps" else all(" seed " in line for line in last[-5:])
