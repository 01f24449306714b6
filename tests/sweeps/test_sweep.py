"""The search as a user runs it: it prunes, is kept, goes on after a kill, and refuses what does not belong to it."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn, JobStatus
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from PIL import Image
from support import SEARCHED, SWEEP, TINY, Command, begin_sweep, command_line, environment, run_ended, run_in, sweep

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.trial import Trial
from housenumbers.sweeps.worker import Worker, move_aside, too_many_failed


def study(home: Path) -> optuna.Study:
    return optuna.load_study(study_name="s", storage=f"sqlite:///{home}/multirun/s/study.db")


def record(home: Path, number: int) -> dict:
    return json.loads((home / f"multirun/s/trial_{number:04d}/run.json").read_text())


def test_trials_are_in_the_study_and_in_folders_of_their_own(searched: Path) -> None:
    trials = study(searched).trials
    assert [trial.number for trial in trials] == list(range(6))
    states = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned"}
    for trial in trials:
        run = record(searched, trial.number)
        assert run["status"] == states[trial.state]
        assert run["test"] is None
        assert run["config"]["optimizer"]["lr"] == trial.params["optimizer.lr"]
        lines = (searched / f"multirun/s/trial_{trial.number:04d}/metrics.jsonl").read_text().splitlines()
        assert list(trial.intermediate_values.values()) == [json.loads(line)["val_accuracy"] for line in lines]
        assert list(trial.intermediate_values) == list(range(1, len(lines) + 1))
        if trial.state is TrialState.COMPLETE:
            assert trial.value == run["best"]["val_accuracy"] == max(trial.intermediate_values.values())
    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert 2 <= len(pruned) <= 4
    assert all(trial.params["epochs"] == 3 and len(trial.intermediate_values) == 2 for trial in pruned)
    assert study(searched).direction is optuna.study.StudyDirection.MAXIMIZE


def test_the_figures_of_a_trial_are_drawn_with_its_page(searched: Path, tmp_path: Path) -> None:
    number = next(trial.number for trial in study(searched).trials if trial.state is TrialState.COMPLETE)
    folder = tmp_path / f"trial_{number:04d}"
    shutil.copytree(searched / "multirun/s" / folder.name, folder)
    assert not (folder / "figures").exists()
    done = run_in(tmp_path, "report", f"run={folder}")
    assert done.returncode == 0, done.stderr
    names = {"accuracy", "confusion_validation", "loss", "predictions_validation"}
    assert {file.stem for file in (folder / "figures").iterdir()} == names
    for file in (folder / "figures").iterdir():
        with Image.open(file) as image:
            assert min(image.size) > 300


def test_the_first_trial_is_the_configuration_itself_where_it_lies_in_the_space(tmp_path: Path) -> None:
    assert sweep(tmp_path, "hydra.sweeper.n_trials=2", "optimizer.lr=interval(0.001,0.01)").returncode == 0
    first, second = study(tmp_path).trials
    assert first.params["optimizer.lr"] == 0.0013
    assert second.params["optimizer.lr"] != 0.0013
    other = tmp_path / "other"
    other.mkdir()
    assert sweep(other, "hydra.sweeper.n_trials=1", "optimizer.lr=interval(0.002,0.01)").returncode == 0
    assert 0.002 <= study(other).trials[0].params["optimizer.lr"] <= 0.01


@pytest.mark.slow
def test_the_printed_command_repeats_the_best_trial(tmp_path: Path) -> None:
    import shlex

    done = sweep(tmp_path, "hydra.sweeper.n_trials=2")
    command = shlex.split(done.stdout.strip().splitlines()[-1])
    assert command[:2] == ["python", "src/train.py"]
    again = run_in(tmp_path, "train", *command[2:])
    assert again.returncode == 0, again.stderr
    (single,) = (json.loads(path.read_text()) for path in tmp_path.glob("outputs/*/*/run.json"))
    best = record(tmp_path, study(tmp_path).best_trial.number)
    assert single["weights_sha256"] == best["weights_sha256"]
    assert single["test"]


def test_the_same_command_continues_to_n_trials_in_all(tmp_path: Path) -> None:
    assert sweep(tmp_path, "hydra.sweeper.n_trials=2").returncode == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "multirun").rglob("*.pt")}
    assert sweep(tmp_path, "hydra.sweeper.n_trials=2").returncode == 0
    assert len(study(tmp_path).trials) == 2
    assert sweep(tmp_path, "hydra.sweeper.n_trials=4").returncode == 0
    trials = study(tmp_path).trials
    assert len(trials) == 4
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())


def test_a_list_of_one_objective_is_one_objective(tmp_path: Path) -> None:
    done = sweep(tmp_path, "objective=[val_accuracy]", "hydra.sweeper.n_trials=2")
    assert done.returncode == 0, done.stderr
    for trial in study(tmp_path).trials:
        assert trial.values == [max(trial.intermediate_values.values())]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lr=interval(0.001,0.002)"], "search space (optimizer.lr)"),
        (["clip_grad_norm=1"], "configuration (clip_grad_norm)"),
        (["objective=val_loss"], "(objective)"),
        (["data.batch_size=16"], "data.batch_size"),
    ],
)
def test_a_study_with_another_identity_is_refused(searched: Path, words: list[str], said: str) -> None:
    trials = len(study(searched).trials)
    done = sweep(searched, *SEARCHED, "hydra.sweeper.n_trials=9", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert "hydra.sweeper.study_name" in line
    assert len(study(searched).trials) == trials


SHORT = ("epochs=1", "scheduler.step_size=1", "hydra.sweeper.n_trials=1")


def test_a_study_does_not_take_a_fixed_value_for_one_that_follows_a_searched_key(tmp_path: Path) -> None:
    words = (*SHORT, "seed=choice(42,43)")
    assert sweep(tmp_path, *words).returncode == 0
    assert study(tmp_path).user_attrs["references"] == {"data.split_seed": "${seed}"}
    refused = sweep(tmp_path, *words, "data.split_seed=42")
    assert refused.returncode == 2
    assert "another configuration (data.split_seed)" in refused.stderr


def test_presets_that_differ_below_a_group_whose_option_is_searched_are_different_studies(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    for group in ("experiment", "search"):
        (conf / group).mkdir(parents=True)
    for name, decay in (("low", 0.001), ("high", 0.1)):
        preset = f"# @package _global_\noptimizer: {{weight_decay: {decay}}}\n"
        (conf / "experiment" / f"{name}.yaml").write_text(preset)
    (conf / "search" / "own.yaml").write_text("choose: {optimizer: {sgd: {}, adam: {}}}\n")
    words = (*SHORT, f"--config-dir={conf}", "search@hydra.sweeper.params=own")
    assert sweep(tmp_path, *words, "experiment=low").returncode == 0
    refused = sweep(tmp_path, *words, "experiment=high")
    assert refused.returncode == 2
    assert "another configuration (optimizer.weight_decay)" in refused.stderr
    done = sweep(tmp_path, *words, "experiment=low", "hydra.sweeper.n_trials=2")
    assert done.returncode == 0, done.stderr


def test_a_searched_group_need_not_have_the_option_of_the_configuration(command: Command, tmp_path: Path) -> None:
    """ResNet-31, which the configuration has, does not read whole numbers."""
    words = (
        "-m", "hydra/sweeper=optuna", "search@hydra.sweeper.params=none", "model=choice(number_reader)",
        "data=synthetic_numbers", "data.size=80", "data.difficulty=0.1", "epochs=1", "threads=1",
        "optimizer.lr=choice(0.01)", "hydra.sweeper.n_trials=1",
    )  # fmt: skip
    done = command("train", *words)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "multirun").iterdir()
    assert folder.name.startswith("models_synthetic_numbers_")


GROUP_SEARCH = (
    "-m", "hydra/sweeper=optuna", "search@hydra.sweeper.params=none", "model=fastnet", "model.channels=[4,8]",
    "model.convolutions=[1,1]", "data=digits", "data.reduce=0.2", "threads=1", "hydra.sweeper.n_trials=1",
    "hydra.sweeper.study_name=s",
)  # fmt: skip


@pytest.mark.parametrize(
    ("searched", "more", "key"),
    [
        (["optimizer=choice(adam,sgd)"], "optimizer.lr=0.0013", "optimizer.lr"),
        (["optimizer=choice(adam,sgd)", "scheduler=onecycle"], "scheduler.max_lr=0.0013", "scheduler.max_lr"),
        (["experiment=choice(one,two)"], "label_smoothing=0.1", "label_smoothing"),
    ],
)
def test_of_a_searched_group_no_option_stands_for_the_others(
    command: Command, tmp_path: Path, searched: list[str], more: str, key: str
) -> None:
    """What is typed has the value of the first option, but for all of them."""
    (tmp_path / "conf/experiment").mkdir(parents=True)
    for number, name in enumerate(("one", "two"), 1):
        preset = f"# @package _global_\nlabel_smoothing: {number / 10}\n"
        (tmp_path / f"conf/experiment/{name}.yaml").write_text(preset)
    words = (*GROUP_SEARCH, "epochs=1", "scheduler=none", *searched, f"--config-dir={tmp_path}/conf")
    done = command("train", *words)
    assert done.returncode == 0, done.stderr
    refused = command("train", *words, more)
    assert refused.returncode == 2
    assert f"another configuration ({key})" in refused.stderr


def test_a_parameter_that_an_option_lacks_is_refused(command: Command, tmp_path: Path) -> None:
    words = ("scheduler=choice(step,cosine)", "scheduler.gamma=choice(0.1,0.5)", "epochs=3")
    done = command("train", *GROUP_SEARCH, *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: scheduler=cosine: scheduler.gamma: ")
    assert "`choose`" in line
    assert not (tmp_path / "multirun").exists()


def test_the_data_may_be_searched(command: Command, tmp_path: Path) -> None:
    (tmp_path / "conf/search").mkdir(parents=True)
    (tmp_path / "conf/search/own.yaml").write_text("choose: {data: {digits: {}}}\n")
    words = (*GROUP_SEARCH[:2], *GROUP_SEARCH[3:6], "epochs=1", "scheduler=none", "threads=1")
    own = (f"--config-dir={tmp_path}/conf", "search@hydra.sweeper.params=own", "hydra.sweeper.n_trials=1")
    done = command("train", *words, *own)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "multirun").iterdir()
    assert folder.name.startswith("fastnet_data_")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_trial_is_given_back_and_ends_equal(tmp_path: Path, number: signal.Signals) -> None:
    long = ("epochs=4", "hydra.sweeper.n_trials=2", "hydra/sweeper/pruner=none")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert sweep(whole, *long).returncode == 0
    killed = run_ended(broken, number, 2, *SWEEP, *long, folder="trial_0001")
    assert killed.returncode == (-number if number == signal.SIGKILL else 128 + number)
    stopped_in = broken / "multirun/s/trial_0001"
    alone = run_in(broken, "train", f"resume={stopped_in}")
    assert alone.returncode == 2
    assert "a trial of the study s" in alone.stderr
    assert "resume=" not in (stopped_in / "train.log").read_text()  # nor is that refused command recommended
    done = sweep(broken, *long)
    assert done.returncode == 0, done.stderr
    first, stopped, continued = study(broken).trials
    assert [trial.state for trial in (first, stopped, continued)] == [
        TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE,
    ]  # fmt: skip
    assert stopped.user_attrs["interrupted"] is True
    assert continued.params == stopped.params
    assert "going on after epoch" in (broken / "multirun/s/trial_0002/train.log").read_text()
    assert record(broken, 2)["weights_sha256"] == record(whole, 1)["weights_sha256"]
    assert continued.intermediate_values == study(whole).trials[1].intermediate_values
    assert continued.value == study(whole).trials[1].value


@pytest.mark.slow
def test_a_failed_trial_does_not_end_the_sweep(tmp_path: Path) -> None:
    """SGD at this rate diverges for one of the two choices."""
    rates = ("optimizer=sgd", "optimizer.lr=choice(0.01,1e30)", "data.batch_size=16", "hydra.sweeper.n_trials=5")
    done = sweep(tmp_path, *rates, "hydra.sweeper.max_failure_rate=1", "hydra/sweeper/sampler=random")
    assert done.returncode == 0, done.stderr
    trials = study(tmp_path).trials
    for trial in trials:
        failed = trial.params["optimizer.lr"] == 1e30
        assert trial.state is (TrialState.FAIL if failed else TrialState.COMPLETE)
        assert ("not a finite number" in trial.user_attrs.get("error", "")) is failed
    assert {trial.state for trial in trials} == {TrialState.FAIL, TrialState.COMPLETE}


@pytest.mark.slow
def test_too_many_failures_end_it_in_one_line(tmp_path: Path) -> None:
    done = sweep(tmp_path, "optimizer=sgd", "optimizer.lr=interval(1e30,1e31)", "hydra.sweeper.n_trials=9")
    assert done.returncode == 2
    assert "4 of 4 trials failed" in done.stderr.splitlines()[-1]
    assert [trial.state for trial in study(tmp_path).trials].count(TrialState.FAIL) == 4


def test_if_nothing_completed_the_exit_code_is_one(tmp_path: Path) -> None:
    done = sweep(tmp_path, "optimizer=sgd", "optimizer.lr=interval(1e30,1e31)", "hydra.sweeper.n_trials=1")
    assert done.returncode == 1
    assert "no trial" in done.stderr.splitlines()[-1]


def test_parameters_can_be_dropped_and_pinned(command: Command, tmp_path: Path) -> None:
    words = ("~hydra.sweeper.params.scheduler.gamma", "optimizer.lr=0.001", "scheduler.step_size=range(2,5)")
    done = command("train", "-m", "hydra/sweeper=optuna", *TINY, *words, "epochs=1", "hydra.sweeper.n_trials=1")
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "multirun").iterdir()
    assert folder.name.startswith("resnet31_digits_")
    (name,) = optuna.get_all_study_names(f"sqlite:///{folder}/study.db")
    assert name == folder.name
    (trial,) = optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/study.db").trials
    assert set(trial.params) == {"scheduler.step_size"}


@pytest.mark.slow
def test_another_search_space_can_be_chosen(command: Command, tmp_path: Path) -> None:
    words = ("search@hydra.sweeper.params=quick", *TINY, "epochs=1", "hydra.sweeper.n_trials=1")
    done = command("train", "-m", "hydra/sweeper=optuna", *words)
    assert done.returncode == 0, done.stderr
    (database,) = (tmp_path / "multirun").glob("*/study.db")
    (summary,) = optuna.get_all_study_summaries(f"sqlite:///{database}")
    assert list(summary.user_attrs["space"]) == ["optimizer.lr"]


def test_without_m_one_line_says_to_add_it(command: Command, tmp_path: Path) -> None:
    done = command("train", "hydra/sweeper=optuna")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "add -m" in line
    assert not (tmp_path / "outputs").exists()


def test_nothing_to_search_is_one_line(command: Command) -> None:
    pinned = ("optimizer.lr=1", "data.batch_size=16", "scheduler.step_size=1", "scheduler.gamma=1")
    done = command("train", "-m", "hydra/sweeper=optuna", *TINY, *pinned)
    assert done.returncode == 2
    assert "nothing to search" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [200, 1000])
def test_after_a_full_disk_the_same_command_goes_on(tmp_path: Path, kilobytes: int) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone, on Linux")
    try:
        failed = sweep(disk, "model.width=8", "hydra.sweeper.n_trials=2", "hydra/sweeper/pruner=none")
        assert failed.returncode == 2
        (line,) = failed.stderr.splitlines()
        assert "No space left on device" in line or "make room, and the same command goes on" in line
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        done = sweep(disk, "model.width=8", "hydra.sweeper.n_trials=2", "hydra/sweeper/pruner=none")
        assert done.returncode == 0, done.stderr
        assert "\n2 completed\n" in done.stdout
        assert all(trial.state.is_finished() for trial in study(disk).trials)
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
def test_a_trial_for_which_there_is_too_little_memory_fails_alone(tmp_path: Path) -> None:
    """A net of 200,000 channels asks for more than a terabyte, which no system of today grants."""
    widths = ("model.width=choice(4,200000)", "hydra/sweeper/sampler=grid", "hydra.sweeper.max_failure_rate=1")
    done = sweep(tmp_path, *widths, "optimizer.lr=0.001", "data.batch_size=16", "scheduler.gamma=0.5")
    assert done.returncode == 0, done.stderr
    wide, narrow = sorted(study(tmp_path).trials, key=lambda trial: -trial.params["model.width"])
    assert wide.state is TrialState.FAIL
    assert wide.user_attrs["error"].startswith("UserError: out of memory: lower data.batch_size")
    assert "\n" not in wide.user_attrs["error"]
    assert narrow.state is TrialState.COMPLETE


@pytest.mark.slow
def test_a_bug_in_a_trial_leaves_its_traceback_in_the_trials_log(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sklearn.datasets\ndef broken(): raise ValueError('a bug')\nsklearn.datasets.load_digits = broken\n"
    )
    done = run_in(tmp_path, "train", *SWEEP, "hydra.sweeper.n_trials=1", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    (trial,) = study(tmp_path).trials
    assert trial.user_attrs["error"] == "ValueError: a bug"
    assert "Traceback" in (tmp_path / "multirun/s/trial_0000/train.log").read_text()


@pytest.mark.slow
def test_trials_of_a_study_that_is_gone_are_not_overwritten(tmp_path: Path) -> None:
    assert sweep(tmp_path, "hydra.sweeper.n_trials=1").returncode == 0
    (tmp_path / "multirun/s/study.db").unlink()
    before = (tmp_path / "multirun/s/trial_0000/run.json").read_text()
    done = sweep(tmp_path, "hydra.sweeper.n_trials=1")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "holds trials of a study that no longer exists" in line
    assert (tmp_path / "multirun/s/trial_0000/run.json").read_text() == before


@pytest.mark.slow
def test_folders_of_trials_that_a_restored_study_does_not_know_are_set_aside(tmp_path: Path) -> None:
    words = ("epochs=1", "hydra/sweeper/pruner=none")
    folder = tmp_path / "multirun/s"
    assert sweep(tmp_path, *words, "hydra.sweeper.n_trials=1").returncode == 0
    shutil.copy(folder / "study.db", tmp_path / "backup.db")
    shutil.copytree(folder / "trial_0000", folder / "trial_0001")
    before = (folder / "trial_0001/run.json").read_text()
    (folder / "trial_0002/checkpoints.half").mkdir(parents=True)  # of an heir whose process was killed
    shutil.copy(tmp_path / "backup.db", folder / "study.db")
    done = sweep(tmp_path, *words, "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == 2
    assert all(f"now {folder}/trial_000{number}_old1" in line for number, line in enumerate(said, 1))
    assert [trial.state for trial in study(tmp_path).trials] == [TrialState.COMPLETE] * 3
    assert [record(tmp_path, number)["trial"]["number"] for number in range(3)] == [0, 1, 2]
    assert (folder / "trial_0001_old1/run.json").read_text() == before


def test_a_folder_that_a_process_is_at_work_in_is_not_set_aside(tmp_path: Path) -> None:
    folder = tmp_path / "trial_0001"
    folder.mkdir()
    move_aside(folder)  # an empty one stays
    (folder / "run.json").write_text('{"status": "running"}')
    with FileLock(folder / ".lock"), pytest.raises(UserError, match="another process uses it"):
        move_aside(folder)
    for number in (1, 2):
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text("{}")
        move_aside(folder)
        assert (tmp_path / f"trial_0001_old{number}/run.json").exists()
    assert not folder.exists()


@pytest.mark.parametrize(("rate", "allowed"), [(0, 0), (0.3, 1), (0.5, 2), (1, 4)])
def test_the_failure_rate_is_of_all_trials_and_judged_from_the_fourth_on(rate: float, allowed: int) -> None:
    def trials(failed: int, of: int) -> list[FrozenTrial]:
        bad = [create_trial(state=TrialState.FAIL)] * failed
        return [*bad, *[create_trial(value=1.0)] * (of - failed)]

    assert not too_many_failed(trials(3, 3), rate)
    for failed in range(5):
        assert too_many_failed(trials(failed, 4), rate) is (failed > allowed)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_an_objective_that_is_no_finite_number_is_a_failure(tmp_path: Path, value: float | None) -> None:
    """Told at once, with `max_failure_rate=0` too."""
    live = optuna.create_study().ask()
    space = Space({"optimizer.lr": FloatDistribution(0, 1)})
    worker = Worker(
        live.study, space, [], ["val_accuracy"], tmp_path, BasicLauncher(), 1, max_failure_rate=0, earlier=[],
        print_line=lambda _: None,
    )  # fmt: skip
    returned = JobReturn(status=JobStatus.COMPLETED)
    returned.return_value = value
    worker._tell(Trial(live, 1), returned, tmp_path)
    (told,) = live.study.trials
    assert told.state is TrialState.FAIL
    assert told.user_attrs["error"] == f"the objective is [{value}], not a finite number"


def test_the_largest_seed_of_a_sampler_begins_a_study(tmp_path: Path) -> None:
    done = sweep(tmp_path, "epochs=1", "hydra.sweeper.sampler.seed=4294967295", "hydra.sweeper.n_trials=1")
    assert done.returncode == 0, done.stderr


def test_a_renamed_folder_still_has_one_study_after_a_command_with_its_new_name(searched: Path, tmp_path: Path) -> None:
    shutil.copytree(searched / "multirun/s", tmp_path / "multirun/renamed")
    done = sweep(tmp_path, "hydra.sweeper.n_trials=9", "hydra.sweeper.study_name=renamed")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "or has another name" in line
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/multirun/renamed/study.db") == ["s"]
    assert run_in(tmp_path, "report", "study=renamed").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer=choice(sgd,sgdd)"], "sgdd"),
        (["data.batch_size=choice(16,many)"], "data.batch_size"),
        (["hydra.sweeper.direction=minimize"], "it follows from objective="),
        (["hydra.sweeper.gpus_per_trial=1.5"], "hydra.sweeper.gpus_per_trial=1.5: must be a whole number, 1 or more"),
        (["hydra.sweeper.keep_checkpoints=null"], "must be one of all, best, none"),
        (["+new.key=interval(0,1)"], "new: no such key"),
        (["hydra/sweeper/sampler=motpe"], "no such option: choose one of cmaes, gp, grid, nsgaii"),
        (["optimizer.lr=tag(log,interval(0,0.1))"], "begin it above 0, or leave out log"),
        (["optimizer.lr=interval(0.1,0.01)"], "write the lower bound first"),
        (["optimizer.weight_decay=choice(0,null)"], "takes no null: write optimizer.weight_decay=0,null"),
        (["hydra.sweeper.custom_search_space=a.b"], "conf/search/models.yaml"),
        (["hydra.sweeper.study_name=" + "x" * 300], "at most 100 characters"),
        (["hydra.sweeper.study_name='a/b'"], "part of a folder's name"),
        (["objective=null"], "objective=null: must be val_accuracy"),
        (["optimizer.lr=choice(-1,0.01)"], "optimizer.lr=-1: must be above 0"),
        (["hydra.sweeper.sampler.seed=abc"], "hydra.sweeper.sampler.seed=abc: must be a whole number"),
        (
            ["hydra.sweeper.sampler.seed=4294967296"],
            "sampler.seed=4294967296: must be a whole number, from 0 to 4294967295",
        ),
        (["hydra.sweep.subdir=abc"], "hydra.sweep.subdir: leave it out"),
        (["hydra.sweeper.sampler.n_startup_trials=-1"], "n_startup_trials=-1: must be a whole number, 0 or more"),
    ],
)
def test_what_no_trial_could_mend_is_one_line_before_there_is_a_study(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = sweep(tmp_path, *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert not list(tmp_path.rglob("study.db"))


def test_apostrophes_in_names_and_folders(tmp_path: Path) -> None:
    home = tmp_path / "it's here"
    home.mkdir()
    done = sweep(home, "hydra.sweeper.n_trials=1", "epochs=1", 'hydra.sweeper.study_name="five o\'clock"')
    assert done.returncode == 0, done.stderr
    assert (home / "multirun/five o'clock/trial_0000/run.json").exists()


def test_a_searched_key_that_is_forced_is_pinned(tmp_path: Path) -> None:
    done = sweep(tmp_path, "hydra.sweeper.n_trials=1", "epochs=1", "++data.batch_size=64")
    assert done.returncode == 0, done.stderr
    assert record(tmp_path, 0)["config"]["data"]["batch_size"] == 64
    assert "data.batch_size" not in study(tmp_path).trials[0].params


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["text", "a torn page"])
def test_a_damaged_database_is_one_line(searched: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(searched / "multirun", tmp_path / "multirun")
    database = tmp_path / "multirun/s/study.db"
    content = bytearray(database.read_bytes())
    if damage == "text":
        content = bytearray(b"not a database\n" * 100)
    else:
        content[2048:] = bytes(len(content) - 2048)
    database.write_bytes(content)
    for done in (sweep(tmp_path, *SEARCHED, "hydra.sweeper.n_trials=9"), run_in(tmp_path, "report", "study=s")):
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        key = "hydra.sweeper.storage" if done.args[1].endswith("train.py") else "storage"
        assert line.startswith(f"error: {key}=null (study.db in the sweep's folder): ")
        assert "restore it from a backup" in line


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_in_the_place_of_a_trials_folder_costs_no_parameters(tmp_path: Path, workers: int) -> None:
    words = ("epochs=1", "hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=2", f"hydra.sweeper.n_jobs={workers}")
    file = tmp_path / "multirun/s/trial_0000"
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    done = sweep(tmp_path, *words)
    assert any("trial_0000: " in line and "move it away" in line for line in done.stderr.splitlines())
    assert "Traceback" not in done.stderr
    if workers == 1:
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        done = sweep(tmp_path, *words)
    assert done.returncode == 0, done.stderr
    stopped, *others = study(tmp_path).trials
    assert stopped.user_attrs["interrupted"]
    assert [trial.state for trial in others] == [TrialState.COMPLETE] * 2
    assert stopped.params in [trial.params for trial in others]
    assert file.read_text() == "mine"


@pytest.mark.slow
def test_whenever_it_is_killed_its_start_samples_are_drawn_once(tmp_path: Path) -> None:
    """Killed before it wrote down the first of them, again before the third; then two commands go on at once."""
    words = ("epochs=1", "hydra/sweeper/pruner=none", "hydra.sweeper.n_trials=4")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert sweep(whole, *words).returncode == 0
    expected = [trial.params for trial in study(whole).trials]
    for kill_at, left in ((1, 0), (3, 2)):
        program = [sys.executable, "-c", KILLED_AT_A_TRIAL, str(kill_at), *command_line("train", *SWEEP, *words)[1:]]
        done = subprocess.run(program, cwd=broken, env=environment(), capture_output=True, timeout=300)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert [trial.params for trial in study(broken).trials] == [{}] * left
    both = [begin_sweep(broken, *words) for _ in range(2)]
    for process in both:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    trials = study(broken).trials
    assert [trial.params for trial in trials] == expected
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert sweep(broken, *words[:2], "hydra.sweeper.n_trials=5").returncode == 0
    assert len(study(broken).trials) == 5


@pytest.mark.slow
def test_a_trial_says_that_it_has_gone_on_under_other_conditions(tmp_path: Path) -> None:
    words = ("hydra.sweeper.n_trials=1", "epochs=2")
    assert run_ended(tmp_path, signal.SIGKILL, 1, *SWEEP, *words).returncode == -signal.SIGKILL
    done = sweep(tmp_path, *words, "threads=2")
    assert done.returncode == 0, done.stderr
    stopped, heir = record(tmp_path, 0), record(tmp_path, 1)
    assert (stopped["threads"], stopped["conditions_mixed"]) == (1, False)
    assert (heir["threads"], heir["conditions_mixed"]) == (2, True)


# Runs a command, and kills it where it is about to write down its so many-th trial.
KILLED_AT_A_TRIAL = """
import os, runpy, signal, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine

_, left, *sys.argv = sys.argv
left = int(left)

@event.listens_for(Engine, "before_cursor_execute")
def look(connection, cursor, statement, *_):
    global left
    left -= statement.startswith("INSERT INTO trials ")
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""
