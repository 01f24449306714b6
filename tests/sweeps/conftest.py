"""A sweep that several tests look at."""

from pathlib import Path

import pytest
from support import SEARCHED, sweep


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of six trials, of which two and more are complete, and two and more pruned. Not to be changed."""
    home = tmp_path_factory.mktemp("searched")
    done = sweep(home, *SEARCHED, "hydra.sweeper.n_trials=6")
    assert done.returncode == 0, done.stderr
    assert "best: trial" in done.stdout
    return home
