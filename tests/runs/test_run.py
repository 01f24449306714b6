"""What a run leaves in its folder, seen through the command."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from boards import scalars
from PIL import Image
from support import NUMBERS, ROOT, TINY, Command, composed, only_run, run_folders
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from housenumbers.config.schema import TrainConfig
from housenumbers.runs import epochs
from housenumbers.runs.run import run
from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.trial import Trial
from housenumbers.tracking.run_folder import list_event_files


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_record_says_what_the_contract_promises(finished: Path) -> None:
    run = record(finished)
    assert run["status"] == "completed"
    assert (run["seed"], run["threads"], run["device"], run["name"]) == (42, 1, "cpu", "finished")
    assert run["versions"]["torch"] == torch.__version__.split("+")[0]
    assert len(run["data_sha256"]) == len(run["weights_sha256"]) == 64
    assert 0 < run["train_seconds"] < 100
    assert run["test"]["n"] == 360
    assert 0 < run["test"]["accuracy"] < 1
    best = max(history(finished), key=lambda line: (line["val_accuracy"], -line["val_loss"]))
    assert run["best"] == {key: best[key] for key in ("epoch", "val_loss", "val_accuracy")}
    assert run["config"]["model"]["width"] == 4
    assert finished.name.endswith("_finished")


def test_the_history_has_a_line_an_epoch(finished: Path) -> None:
    lines = history(finished)
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    keys = {"epoch", "train_loss", "val_loss", "val_accuracy", "lr", "seconds"}
    assert all(set(line) == keys for line in lines)
    assert lines[-1]["train_loss"] < lines[0]["train_loss"]


def test_the_figures_can_be_opened(finished: Path) -> None:
    names = {"loss", "accuracy", "confusion_validation", "confusion_test", "predictions_validation", "predictions_test"}
    assert {file.stem for file in (finished / "figures").iterdir()} == names
    for file in (finished / "figures").iterdir():
        with Image.open(file) as image:
            image.load()
            assert min(image.size) > 300
            assert len(image.convert("RGB").getcolors(1 << 20) or []) > 10


def test_the_log_is_plain_lines(finished: Path) -> None:
    log = (finished / "train.log").read_text()
    assert log.count("train loss") == 3
    assert "\r" not in log
    assert "test accuracy" in log


def test_tensorboard_has_the_studys_tags_and_more(finished: Path) -> None:
    events = EventAccumulator(str(finished), size_guidance={"images": 0, "scalars": 0}).Reload()
    assert len(list(finished.glob("events.out.tfevents.*"))) == 1
    for tag, key in {
        "Loss/train": "train_loss",
        "Loss/validation": "val_loss",
        "Accuracy/validation": "val_accuracy",
        "LearningRate": "lr",
    }.items():
        points = [(point.step, point.value) for point in events.Scalars(tag)]
        assert points == [(line["epoch"], pytest.approx(line[key], rel=1e-5)) for line in history(finished)]
    assert len(events.Scalars("Speed/images_per_second")) == 3
    assert len(events.Images("Samples/training")) == 2
    assert "epochs: 3" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    hparams = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"optimizer.lr" in hparams
    assert b"data.batch_size" in hparams
    assert events.Scalars("hparam/validation_accuracy")


@pytest.mark.slow
def test_without_threads_a_run_has_torchs_own_number_whatever_the_one_before_it_had(
    command: Command, tmp_path: Path
) -> None:
    done = command("train", "-m", *TINY, "epochs=1", "threads=1,null", OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    assert [record(folder)["threads"] for folder in run_folders(tmp_path)] == [1, 2]


def test_early_stopping_ends_a_run_as_completed(command: Command, tmp_path: Path) -> None:
    stop = ("early_stopping.enabled=true", "early_stopping.improvement=99", "early_stopping.patience=2", "epochs=9")
    done = command("train", *TINY, *stop)
    assert done.returncode == 0, done.stderr
    assert record(only_run(tmp_path))["epochs"] == 3
    assert "stopped early" in done.stdout


def test_without_validation_the_last_epoch_is_tested(command: Command, tmp_path: Path) -> None:
    done = command("train", *TINY, "data.val_fraction=0")
    assert done.returncode == 0, done.stderr
    folder = only_run(tmp_path)
    run = record(folder)
    assert run["best"] is None
    assert run["test"]["n"] == 360
    best, last = (torch.load(folder / "checkpoints" / name, weights_only=True) for name in ("best.pt", "last.pt"))
    assert all(torch.equal(best["model"][name], last["model"][name]) for name in last["model"])
    assert not (folder / "figures" / "accuracy.png").exists()
    assert command("evaluate", "split=validation").returncode == 2


def test_a_loss_that_is_not_finite_fails_in_one_line(command: Command, tmp_path: Path) -> None:
    done = command("train", *TINY, "optimizer=sgd", "optimizer.lr=1e30")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "not a finite number" in line
    assert record(only_run(tmp_path))["status"] == "failed"
    assert "not a finite number" in record(only_run(tmp_path))["error"]


def test_weights_that_the_last_step_has_ruined_fail_in_one_line(command: Command, tmp_path: Path) -> None:
    """Without validation the test part is the first to meet them."""
    whole = ("data.val_fraction=0", "data.batch_size=2000", "epochs=1", "optimizer.lr=1e30")
    done = command("train", *TINY, *whole)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "not a finite number" in line
    folder = only_run(tmp_path)
    assert record(folder)["status"] == "failed"
    scored = command("evaluate", f"run={folder}")
    assert scored.returncode == 2
    (line,) = scored.stderr.splitlines()
    assert "best.pt" in line


def test_too_little_memory_is_one_line(command: Command, tmp_path: Path) -> None:
    done = command("train", *TINY, "model.width=200000")  # asks for more than a terabyte
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "out of memory: lower data.batch_size" in line
    assert record(only_run(tmp_path))["status"] == "failed"


def test_a_bug_keeps_its_traceback_and_is_recorded(command: Command, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sklearn.datasets\ndef broken(): raise ValueError('a bug')\nsklearn.datasets.load_digits = broken\n"
    )
    done = command("train", *TINY, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "a bug" in done.stderr
    assert record(only_run(tmp_path))["status"] == "failed"


@pytest.mark.slow
def test_clipping_smoothing_and_other_options_change_the_weights(command: Command, tmp_path: Path) -> None:
    options = [(), ("clip_grad_norm=0.1",), ("label_smoothing=0.1",), ("augment=rotation",), ("optimizer=adamw",)]
    for words in options:
        assert command("train", *TINY, "epochs=1", *words).returncode == 0
    assert len({record(folder)["weights_sha256"] for folder in run_folders(tmp_path)}) == len(options)


def test_several_runs_share_a_multirun_folder_and_are_tested(command: Command, tmp_path: Path) -> None:
    done = command("train", "-m", *TINY, "epochs=1", "seed=1,2")
    assert done.returncode == 0, done.stderr
    folders = run_folders(tmp_path)
    assert [record(folder)["seed"] for folder in folders] == [1, 2]
    assert all(folder.is_relative_to(tmp_path / "multirun") for folder in folders)
    assert all(record(folder)["test"] for folder in folders)


@pytest.mark.slow
def test_every_preset_runs(command: Command, tmp_path: Path) -> None:
    """The settings of each preset but its size: a small net, few images, one epoch."""
    small = (
        "data=digits", "data.reduce=0.3", "data.val_fraction=0.2", "data.use_extra=false", "epochs=1", "threads=1",
    )  # fmt: skip
    names = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    presets = {name for name in names if "_tl_" not in name and not name.startswith("transfer_")}  # test_transfer.py
    fastnet = ("model.channels=[4,8]", "model.convolutions=[1,2]")
    for name in presets:
        preset = composed(f"experiment={name}")
        shape = fastnet if preset.model.name == "fastnet" else ("model.width=4",)
        words = (
            (*NUMBERS[:-1], "data.rendered=0", "model.pretrained=false")
            if preset.data.has_numbers
            else (*small, *shape)
        )
        if name == "pretrained_digits":  # its number of images is for rendered ones alone
            words = ("data.size=200", "epochs=1", "threads=1", *shape)
        done = command("train", f"experiment={name}", *words)
        assert done.returncode == 0, done.stderr
    ran = {record(folder)["name"].replace("-", "_") for folder in run_folders(tmp_path)}
    assert ran == presets


@pytest.mark.slow
def test_every_option_of_every_group_trains(command: Command, tmp_path: Path) -> None:
    """Of several groups at once, in as many runs as the largest group has options."""
    groups = ("optimizer", "scheduler", "augment", "averaging")
    options = {group: sorted(path.stem for path in (ROOT / "conf" / group).glob("*.yaml")) for group in groups}
    for number in range(max(map(len, options.values()))):
        chosen = [f"{group}={names[number % len(names)]}" for group, names in options.items()]
        done = command("train", *TINY, "epochs=1", *chosen)
        assert done.returncode == 0, (chosen, done.stderr)
        assert record(only_run(tmp_path))["status"] == "completed"
        shutil.rmtree(tmp_path / "outputs")


def test_the_last_epochs_weights_can_be_kept(command: Command, tmp_path: Path) -> None:
    # A learning rate of almost nothing: an earlier epoch is the best one, or may be.
    words = (*TINY, "optimizer.lr=1e-12", "epochs=3")
    for kept in ("best", "last"):
        folder = tmp_path / kept
        done = command("train", *words, f"keep_epoch={kept}", f"hydra.run.dir={folder}")
        assert done.returncode == 0, done.stderr
        run, checkpoint = record(folder), torch.load(folder / "checkpoints/best.pt", weights_only=True)
        ranks = [(-one["val_accuracy"], one["val_loss"]) for one in history(folder)]
        better = [place + 1 for place, rank in enumerate(ranks) if all(rank < earlier for earlier in ranks[:place])]
        epoch = better[-1] if kept == "best" else 3
        assert run["best"]["epoch"] == checkpoint["record"]["epoch"] == epoch
        assert run["best"]["val_loss"] == history(folder)[epoch - 1]["val_loss"]
        assert "temperature" in checkpoint["calibration"]
        assert [line.partition("  ")[0] for line in done.stdout.splitlines() if "% *" in line] == (
            [f"epoch {one}/3" for one in better] if kept == "best" else []
        )
    assert command("report", f"run={tmp_path / 'last'}").returncode == 0
    page = (tmp_path / "last/report.html").read_text()
    assert "epoch 3, the last of 3<" in page
    assert "chose the best epoch" not in page


def tampered_run(folder: Path, monkeypatch: pytest.MonkeyPatch, tamper: Callable[[Path], object]) -> None:
    """A run of three epochs, in whose folder somebody changes something after the second one."""
    epoch_line = epochs._epoch_line

    def line(config: TrainConfig, record: dict[str, Any], is_best: bool) -> str:
        if record["epoch"] == 2:
            tamper(folder)
        return epoch_line(config, record, is_best)

    monkeypatch.setattr(epochs, "_epoch_line", line)
    # A learning rate of almost nothing: the first epoch stays the best one.
    words = ("data.reduce=0.2", "data.batch_size=64", "model.width=4", "model.blocks=[1,1,1]", "optimizer.lr=1e-12")
    run(composed("data=digits", *words, "epochs=3", "threads=1", "seed=1"), folder)


@pytest.mark.parametrize("name", ["checkpoints/best.pt", "run.json"])
def test_a_file_that_is_removed_during_the_training_is_missed_at_the_next_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(UserError, match=f"{name}: was removed during the training"):
        tampered_run(tmp_path / "run", monkeypatch, lambda folder: (folder / name).unlink())
    assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("tamper", [Path.unlink, lambda file: file.write_bytes(b"")])
def test_an_event_file_that_is_lost_during_the_training_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tamper: Callable[[Path], object]
) -> None:
    tampered_run(tmp_path / "run", monkeypatch, lambda folder: tamper(list_event_files(folder)[-1]))
    history = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    shown = scalars(tmp_path / "run", "--load_fast=false")
    assert [step for step, _ in shown["Loss/train"]] == [1, 2, 3]
    assert shown["Loss/validation"] == [(row["epoch"], pytest.approx(row["val_loss"])) for row in history]
    assert len(shown["hparam/test_accuracy"]) == 1


def test_another_runs_best_weights_are_not_scored(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(folder: Path) -> None:
        shutil.copy(finished / "checkpoints/best.pt", folder / "checkpoints/best.pt")

    with pytest.raises(UserError, match=r"best\.pt: is of another run"):
        tampered_run(tmp_path / "run", monkeypatch, replace)
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "failed"


class Asked:
    """What Optuna has of a trial: its pruner lets it go on so many times, then stops it, or the process ends there."""

    def __init__(self, interrupted: bool, answers: int = 0) -> None:
        self.interrupted, self.answers, self.reported = interrupted, answers, []  # type: ignore[var-annotated]
        self.study, self.number = SimpleNamespace(study_name="study"), 0

    def report(self, _: float, epoch: int) -> None:
        self.reported.append(epoch)

    def should_prune(self) -> bool:
        self.answers -= 1
        if self.answers >= 0:
            return False
        if self.interrupted:
            raise KeyboardInterrupt
        return True


def test_a_trial_that_was_interrupted_before_the_pruners_decision_gets_it_when_it_goes_on(tmp_path: Path) -> None:
    """As without the interruption; the epochs before are reported again, and not judged again."""
    words = ("data.reduce=0.2", "data.batch_size=64", "model.width=4", "model.blocks=[1,1,1]")
    config = composed("data=digits", *words, "epochs=3", "threads=1", "seed=1")
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "run", Trial(Asked(interrupted=True), 1))
    trial = Trial(Asked(interrupted=False), 1)
    run(config, tmp_path / "run", trial, resuming=True)
    assert trial.live.reported == [1]
    assert trial.pruned
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert (record["status"], record["best"]["epoch"]) == ("pruned", 1)
    with pytest.raises(KeyboardInterrupt):  # before the decision after the second epoch, of a run with one
        run(config, tmp_path / "other", Trial(Asked(interrupted=True, answers=1), 1))
    patient = Trial(Asked(interrupted=False, answers=1), 1)
    run(config, tmp_path / "other", patient, resuming=True)
    assert patient.live.reported == [1, 2, 3]
    assert not patient.pruned


@pytest.mark.parametrize(("step_size", "pruned_after"), [(2, 3), (3, None), (4, 1), (9, 1)])
def test_a_trial_is_not_pruned_before_its_learning_rate_drops(
    tmp_path: Path, step_size: int, pruned_after: int | None
) -> None:
    """Where it never drops there is nothing to wait for; where it drops before the last epoch no decision is left."""
    words = ("data.reduce=0.2", "data.batch_size=64", "model.width=4", "model.blocks=[1,1,1]")
    config = composed("data=digits", *words, "epochs=4", f"scheduler.step_size={step_size}", "threads=1")
    trial = Trial(Asked(interrupted=False), 1)
    run(config, tmp_path / "run", trial)
    assert trial.pruned == (pruned_after is not None)
    assert trial.live.reported == list(range(1, (pruned_after or 4) + 1))
