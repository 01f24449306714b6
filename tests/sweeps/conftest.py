"""A sweep that several tests look at."""

from pathlib import Path

import pytest
from support import sweep


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of six trials in which a pruner that spares nothing has pruned. Not to be changed."""
    home = tmp_path_factory.mktemp("searched")
    impatient = ("hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=0")
    done = sweep(home, "hydra.sweeper.n_trials=6", *impatient)
    assert done.returncode == 0, done.stderr
    assert "best: trial" in done.stdout
    return home
