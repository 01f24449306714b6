"""What was trained on other data, in a folder of another name, is not taken for a result on these."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import Command

NET = ("model=fastnet", "model.channels=[4,8]", "model.convolutions=[1,1]", "data.batch_size=32", "epochs=1")
ON_IMAGES = ("data=folder", "data.cache=cache", "threads=1", *NET)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Folders of images: `one`, the same ones in `moved`, and `other` ones."""
    for number, name in enumerate(("one", "other")):
        rng = np.random.default_rng(number)
        for label in range(10):
            (tmp_path / name / str(label)).mkdir(parents=True)
            for image in range(10):
                pixels = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / str(label) / f"{image}.png")
    shutil.copytree(tmp_path / "one", tmp_path / "moved")
    return tmp_path


@pytest.mark.slow
def test_a_search_on_other_data_is_refused_and_one_on_moved_data_goes_on(command: Command, home: Path) -> None:
    words = ("-m", "hydra/sweeper=optuna", "search@hydra.sweeper.params=quick", *ON_IMAGES)
    assert command("train", *words, "data.root=one", "hydra.sweeper.n_trials=2").returncode == 0
    refused = command("train", *words, "data.root=other", "hydra.sweeper.n_trials=3")
    assert refused.returncode == 2
    *_, line = refused.stderr.splitlines()  # after what is told of such a folder
    assert line.startswith(f"error: data.root={home}/other: {home}/multirun/")
    assert line.endswith(f"({home}/one): choose another hydra.sweeper.study_name")
    moved = command("train", *words, "data.root=moved", "hydra.sweeper.n_trials=2")
    assert moved.returncode == 0, moved.stderr
    assert "2 of 2 trials done" in moved.stdout
    narrower = ("optimizer.lr=tag(log,interval(0.00005,0.02))", "hydra.sweeper.n_trials=1")
    taken = command("train", *words, "data.root=moved", *narrower)
    assert "taken over" in taken.stdout, taken.stderr
    (study,) = {path.parent for path in (home / "multirun").glob("*/study.db")} - {
        path.parents[1] for path in (home / "multirun").glob("*/trial_*/run.json")
    }
    shutil.rmtree(study)
    on_other = command("train", *words, "data.root=other", *narrower)
    assert on_other.returncode == 0, on_other.stderr
    assert "taken over" not in on_other.stdout
    assert len(list((home / "multirun").glob("*/trial_*/run.json"))) == 3


@pytest.mark.slow
def test_a_multirun_and_a_confirmation_on_other_data_are_refused(command: Command, home: Path) -> None:
    words = ("-m", *ON_IMAGES, "seed=1,2", "hydra.sweep.dir=runs")
    assert command("train", *words, "data.root=one").returncode == 0
    refused = command("train", *words, "data.root=other")
    assert refused.returncode == 2
    assert f"data.root={home}/other" in refused.stderr
    assert "choose another hydra.sweep.dir" in refused.stderr
    assert command("train", *words, "data.root=moved").stdout.count("completed already") == 2

    search = ("-m", "hydra/sweeper=optuna", *ON_IMAGES, "data.root=one", "hydra.sweeper.n_trials=1")
    assert command("train", *search, "search@hydra.sweeper.params=quick", "hydra.sweeper.study_name=s").returncode == 0
    for root, code in (("one", 0), ("other", 2), ("moved", 0)):
        done = command("confirm", "study=s", "top=1", "seeds=1", f"data.root={root}")
        assert done.returncode == code, done.stderr
    (run,) = (home / "multirun/s/confirm").glob("*/run.json")
    assert json.loads(run.read_text())["config"]["data"]["root"] == f"{home}/one"
