"""Which run `run=` means, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from housenumbers.api.run import Run, open_run
from housenumbers.runs.resume import folder_of
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_selection import find_run


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_run(folder: str, started: int, accuracy: float | None = 0.5, saved: bool = True, **more: Any) -> None:
    """A run's folder as far as its choice depends on it; the `started` is a day."""
    path = Path(folder)
    (path / "checkpoints").mkdir(parents=True)
    if saved:
        (path / "checkpoints" / "best.pt").touch()
    best = None if accuracy is None else {"epoch": 1, "val_loss": 1.0, "val_accuracy": accuracy}
    record = {"status": "completed", "name": "net", "started": f"2026-01-{started:02d}", "best": best, "trial": None}
    record |= {"config": {"data": {"name": "svhn"}, "model": {"name": "linear"}}} | more
    (path / "run.json").write_text(json.dumps(record))


def chosen(wanted: str) -> str:
    choice = find_run(wanted)
    assert choice.reason.startswith(f"run={wanted}: {choice.path} (linear on ")
    return f"{choice.path.name}: {choice.reason.partition('): ')[2]}"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_run("home/a", 1)
    for name in ("a", "a/checkpoints/best.pt"):
        assert find_run(f"~/{name}").path == tmp_path / "home" / name
    assert open_run("~/a").folder == Run(Path("~/a")).folder == tmp_path / "home/a"
    assert folder_of("repeat", "~/a") == tmp_path / "home/a"


def test_last_is_the_newest_completed_one() -> None:
    write_run("outputs/a", 1)
    assert chosen("last") == "a: the only completed run"
    write_run("outputs/b", 2)
    assert chosen("last") == "b: the newest of 2 completed runs"
    write_run("outputs/c", 3, status="interrupted")
    write_run("outputs/d", 4, saved=False)
    assert chosen("last") == "b: the newest of 2 completed runs; newer, but interrupted: outputs/c"


def test_last_is_a_single_run_rather_than_a_trial() -> None:
    for number in range(3):
        write_run(f"multirun/s/trial_{number}", 5 + number, trial={"number": number})
    assert chosen("last") == "trial_2: the newest of 3 completed trials"
    write_run("outputs/a", 1)
    assert chosen("last") == "a: the only completed run; newer, but a sweep's trial: multirun/s/trial_2"


def test_without_a_completed_run_it_is_another_and_said() -> None:
    write_run("outputs/a", 1, status="failed")
    write_run("outputs/b", 2, status="interrupted")
    assert chosen("last") == "b: the only interrupted run"


def test_best_is_said_to_be_so_on_the_newest_runs_data() -> None:
    write_run("outputs/a", 1, 0.9)
    write_run("outputs/b", 2, 0.95)
    write_run("outputs/c", 3, 0.97, status="interrupted")
    assert chosen("best") == "b: 95.00% of validation, the best of 2 completed on svhn"
    digits = {"data": {"name": "digits"}, "model": {"name": "linear"}}
    write_run("outputs/d", 4, 0.7, config=digits)
    write_run("outputs/e", 5, None, name="best", config=digits)
    assert chosen("best") == (
        "d: 70.00% of validation, the best of 1 completed on digits, the data of the newest run; 2 on other data not "
        "considered; one that is named best is asked for by its folder"
    )


def test_a_name_is_the_newest_completed_run_of_that_name() -> None:
    write_run("outputs/a", 1, name="wide")
    write_run("outputs/b", 2, name="wide")
    write_run("outputs/c", 3, name="wide", status="interrupted")
    write_run("multirun/s/trial_1", 4, name="wide", trial={"number": 1})
    write_run("outputs/d", 5)
    assert chosen("wide") == (
        "b: the newest of 2 completed runs named wide; newer, but a sweep's trial: multirun/s/trial_1"
    )
    Path("wide").mkdir()  # which is no run
    assert chosen("wide").startswith("b: ")


def test_what_is_named_by_its_path_needs_no_words() -> None:
    write_run("outputs/a", 1)
    write_run("net", 2)  # a folder comes before a name
    Path("model").touch()
    Path("empty").mkdir()
    for path in ("outputs/a", "net", "model", "empty", "outputs/a/checkpoints/best.pt"):
        assert find_run(path) == (Path(path), "")


def test_the_models_that_come_with_the_code_go_before_what_else_has_their_names() -> None:
    write_run("outputs/a", 1, name="pretrained_digits")
    write_run("pretrained_numbers", 2)
    for name, file in (("pretrained_digits", "digits.pt"), ("pretrained_numbers", "numbers.pt")):
        choice = find_run(name)
        assert choice.path.parts[-2:] == ("pretrained", file)
        assert choice.reason.startswith(f"run={name}: ")
        assert choice.reason.endswith("trained on rendered images alone; run=last takes your newest run")
    assert find_run("./pretrained_numbers") == (Path("pretrained_numbers"), "")


def test_nothing_to_choose_from_is_said() -> None:
    for wanted, said in (
        ("last", "train one"),
        ("best", "train one"),
        ("net", "no such folder, file or name of a run"),
    ):
        with pytest.raises(UserError, match=f"^run={wanted}: .*{said}"):
            find_run(wanted)
    write_run("outputs/a", 1, None, saved=False, status="running")
    with pytest.raises(UserError, match="no run of that name has a checkpoint yet: outputs/a is "):
        find_run("net")
    write_run("outputs/b", 2, None)
    with pytest.raises(UserError, match=r"^run=best: no completed run with a validation part"):
        find_run("best")
