"""The best configurations of a search on fresh seeds."""

import json
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from studies import made_up_study
from support import ROOT, Command, command_line, environment, run_in, sweep

from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import config_to_dict
from housenumbers.runs.run import run as train
from housenumbers.runtime.errors import DivergedError
from housenumbers.sweeps.confirm import _candidates, confirm
from housenumbers.sweeps.study import find_study
from housenumbers.tracking.run_folder import RunFolder


@pytest.fixture
def home(searched: Path, tmp_path: Path) -> Path:
    """A copy of the sweep that can be changed."""
    shutil.copytree(searched / "multirun", tmp_path / "multirun")
    return tmp_path


def records(home: Path) -> dict[str, dict]:
    return {
        path.parent.name: json.loads(path.read_text()) for path in sorted(home.glob("multirun/s/confirm/*/run.json"))
    }


@pytest.mark.slow
def test_the_best_run_again_on_fresh_seeds_and_the_same_split(home: Path) -> None:
    done = run_in(home, "confirm", "study=s", "top=2", "seeds=2")
    assert done.returncode == 0, done.stderr
    runs = records(home)
    assert len(runs) == 4
    assert {run["seed"] for run in runs.values()} == {43, 44}  # 42 is the search's
    trial = json.loads((home / "multirun/s/trial_0000/run.json").read_text())
    assert {run["data_sha256"] for run in runs.values()} == {trial["data_sha256"]} or trial["status"] == "pruned"
    assert all(run["config"]["data"]["split_seed"] == 42 and run["test"] for run in runs.values())

    result = json.loads((home / "multirun/s/confirmed.json").read_text())
    for row in result["rows"]:
        own = [
            run["best"]["val_accuracy"] for name, run in runs.items() if name.startswith(f"trial_{row['trial']:04d}")
        ]
        assert row["scores"] == own
        assert f"trial {row['trial']}: search {row['search']}, confirmed {row['confirmed']}" in done.stdout
    page = (home / "multirun/s/report.html").read_text()
    assert "Confirmed on fresh seeds" in page
    assert result["rows"][0]["confirmed"] in page

    before = {path: path.stat().st_mtime_ns for path in home.glob("multirun/s/confirm/*/checkpoints/*.pt")}
    more = run_in(home, "confirm", "study=s", "top=2", "seeds=3")
    assert more.returncode == 0, more.stderr
    assert len(records(home)) == 6
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


@pytest.mark.slow
def test_it_goes_on_after_a_kill(home: Path) -> None:
    words = ("study=s", "top=1", "seeds=2")
    process = subprocess.Popen(command_line("confirm", *words), cwd=home, env=environment(), stdout=subprocess.DEVNULL)
    while not list(home.glob("multirun/s/confirm/*/metrics.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = run_in(home, "confirm", *words)
    assert done.returncode == 0, done.stderr
    assert [run["status"] for run in records(home).values()] == ["completed"] * 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["study=s", "top=0"], "top=0"),
        (["study=s", "seeds=0"], "seeds=0"),
        ([], "study="),
        (["study=x"], "study=x"),
        (["study=typo", "storage=sqlite:///multirun/s/study.db"], "no such study: use one of s"),
    ],
)
def test_what_cannot_be_confirmed_is_one_line(searched: Path, words: list[str], said: str) -> None:
    done = run_in(searched, "confirm", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.mark.slow
def test_where_the_seed_was_searched_the_fresh_ones_are_beyond_it(tmp_path: Path) -> None:
    done = sweep(tmp_path, "hydra.sweeper.n_trials=2", "epochs=1", "seed=choice(50,60)")
    assert done.returncode == 0, done.stderr
    done = run_in(tmp_path, "confirm", "study=s", "top=1", "seeds=1")
    assert done.returncode == 0, done.stderr
    (confirmed,) = records(tmp_path).values()
    winner = json.loads((tmp_path / "multirun/s/confirmed.json").read_text())["best"]
    of_the_search = json.loads((tmp_path / f"multirun/s/trial_{winner:04d}/run.json").read_text())
    assert confirmed["seed"] > of_the_search["seed"]
    assert confirmed["data_sha256"] == of_the_search["data_sha256"]


@pytest.mark.slow
def test_a_run_that_diverges_is_told_and_does_not_stop_the_others(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    study, folder = find_study("s")

    def run(config: TrainConfig, path: Path, resuming: bool) -> None:
        if config.seed == 43:
            raise DivergedError("epoch 1: nan, not a finite number")
        train(config, path, resuming=resuming)

    result = confirm(study, folder, ROOT / "conf", run, top=2, seeds=2, overrides=())
    assert [row["n"] for row in result["rows"]] == [1, 1]
    assert all("1 of 2 runs diverged" in row["difference"] for row in result["rows"])
    assert "1 of 2 runs diverged" in (folder / "report.html").read_text()


def test_a_folder_with_a_run_of_another_configuration_is_refused(home: Path) -> None:
    words = ("study=s", "top=1", "seeds=1")
    assert run_in(home, "confirm", *words).returncode == 0
    (file,) = home.glob("multirun/s/confirm/*/run.json")
    content = json.loads(file.read_text())
    content["config"]["epochs"] = 99
    file.write_text(json.dumps(content))
    done = run_in(home, "confirm", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "holds a run of another configuration" in line


def test_of_several_objectives_no_dominated_trial_is_taken(tmp_path: Path) -> None:
    """Trial 1 is beaten in both by trial 0, though it has the second highest accuracy."""
    values = [[0.90, 20.0], [0.89, 25.0], [0.70, 10.0], [0.60, 15.0]]
    study = made_up_study(values, ("val_accuracy", "train_seconds"), overrides=["data=digits", "model.width=4"])
    assert [trial.number for trial in study.best_trials] == [0, 2]

    def run(config: TrainConfig, path: Path, **_: bool) -> None:
        score = {"val_accuracy": config.optimizer.lr + config.seed / 1e6, "val_loss": 1.0, "epoch": 1}
        record = {
            "status": "completed",
            "best": score,
            "test": {"accuracy": 0.5, "n": 100},
            "train_seconds": float(config.seed),
        }
        RunFolder(path).update(config=config_to_dict(config), **record)

    result = confirm(study, tmp_path, ROOT / "conf", run, top=3, seeds=2, overrides=())
    assert [row["trial"] for row in result["rows"]] == [0, 2]
    assert result["best"] is None
    first, second = result["rows"]
    assert first["search"] == "val_accuracy 0.9000, train_seconds 20.0000"
    assert first["difference"].startswith("val_accuracy worse")
    assert second["difference"].startswith("val_accuracy the highest mean, train_seconds no difference shown")


def test_of_trials_that_differ_in_the_seed_alone_the_best_is_taken() -> None:
    study = optuna.create_study()
    distributions = {key: CategoricalDistribution(values) for key, values in (("seed", (1, 2, 3)), ("width", (4, 8)))}
    for seed, width, value in ((1, 4, 0.5), (2, 4, 0.3), (3, 4, 0.4), (1, 8, 0.6)):
        params = {"seed": seed, "width": width}
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=value))
    assert [trial.value for trial in _candidates(study)] == [0.3, 0.6]


def test_runs_that_do_not_differ_leave_no_winner(tmp_path: Path) -> None:
    study = made_up_study([[0.9], [0.89]], overrides=["data=digits", "model.width=4"])

    def run(config: TrainConfig, path: Path, **_: bool) -> None:
        noise = 0.01 * (config.seed % 2)
        score = {"val_accuracy": 0.9 + noise + config.optimizer.lr / 10, "val_loss": 1.0, "epoch": 1}
        test = {"accuracy": 0.5, "n": 100}
        RunFolder(path).update(config=config_to_dict(config), status="completed", best=score, test=test)

    result = confirm(study, tmp_path, ROOT / "conf", run, top=2, seeds=2, overrides=())
    first, second = result["rows"]
    assert first["difference"].startswith("no difference shown")
    assert second["difference"] == "the highest mean"
    assert "the best" not in (tmp_path / "confirmed.json").read_text()


@pytest.mark.slow
def test_a_sweep_with_options_of_its_own(command: Command, tmp_path: Path) -> None:
    """They lie in the folder that the sweep was given as --config-dir."""
    options = tmp_path / "my (options)"
    (options / "optimizer").mkdir(parents=True)
    (options / "optimizer" / "mine.yaml").write_text("_target_: torch.optim.Adamax\nlr: 0.01\n")
    words = ("optimizer=mine", "data.batch_size=choice(16)", "hydra.sweeper.study_name=s")
    done = sweep(tmp_path, f"--config-dir={options}", *words, "hydra.sweeper.n_trials=1")
    assert done.returncode == 0, done.stderr
    printed = shlex.split(done.stdout.splitlines()[-1])
    assert printed[:3] == ["python", "src/train.py", f"--config-dir={options}"]
    assert command("train", *printed[2:]).returncode == 0
    done = command("confirm", "study=s", "top=1", "seeds=1", f"config_dir={options}")
    assert done.returncode == 0, done.stderr
    (run,) = records(tmp_path).values()
    assert run["config"]["optimizer"]["_target_"] == "torch.optim.Adamax"

    (options / "optimizer" / "mine.yaml").write_text("_target_: torch.optim.Adamax\nlr: 0.01\nweight_decay: 0.5\n")
    done = command("confirm", "study=s", "top=1", "seeds=2", f"config_dir={options}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "trial_0000: was trained with another optimizer.weight_decay than its command gives now" in line


@pytest.mark.slow
def test_a_sweep_with_a_primary_file_of_its_own(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "short.yaml").write_text("defaults: [train, _self_]\nclip_grad_norm: 0.5\n")
    flags = (f"--config-dir={tmp_path}/mine", "--config-name=short")
    done = sweep(tmp_path, *flags, "epochs=1", "scheduler.step_size=1", "hydra.sweeper.n_trials=1")
    assert done.returncode == 0, done.stderr
    printed = shlex.split(done.stdout.splitlines()[-1])
    assert printed[2:4] == list(flags)
    done = command("confirm", "study=s", "top=1", "seeds=1", f"config_dir={tmp_path}/mine")
    assert done.returncode == 0, done.stderr
    (run,) = records(tmp_path).values()
    assert run["config"]["clip_grad_norm"] == 0.5
