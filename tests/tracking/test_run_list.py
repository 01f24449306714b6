"""The list of runs, whatever lies in their folders."""

import errno
import json
import os
from pathlib import Path

import pytest
from support import composed, run_in

from housenumbers.config.values import config_to_dict
from housenumbers.runtime.errors import UserError
from housenumbers.tracking.run_list import all_runs, caption, check_filters, matches, newest_run, table

GOOD = {"status": "completed", "name": "good", "best": {"epoch": 1, "val_accuracy": 0.5, "val_loss": 1.0}}


def write(home: Path, name: str, text: str) -> None:
    (home / name).mkdir(parents=True)
    (home / name / "run.json").write_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"config": ' * 100_000,
        '{"name": ' + "[" * 400 + "]" * 400 + "}",  # which the json module reads and cannot write
        '{"status": "runn',
        "[]",
        "\udcff\udcfe",
        json.dumps(GOOD | {"best": {"epoch": 1, "val_accuracy": "x"}}),
        json.dumps(GOOD | {"best": {"epoch": 1, "val_accuracy": float("nan")}}),
        json.dumps(GOOD | {"best": {"epoch": 1, "val_accuracy": True}}),
        json.dumps(GOOD | {"best": [1, 2]}),
        '{"best": {"epoch": 1, "val_accuracy": 1' + "0" * 400 + "}}",
        json.dumps(GOOD | {"train_seconds": {}}),
        json.dumps(GOOD | {"test": 5}),
        json.dumps(GOOD | {"calibration": {"temperature": "x"}}),
    ],
)
def test_one_damaged_record_is_listed_beside_the_others(tmp_path: Path, text: str) -> None:
    write(tmp_path, "good", json.dumps(GOOD))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_bytes(text.encode(errors="surrogateescape"))
    runs = all_runs([tmp_path])
    assert [run["status"] for run in runs] == ["completed", "damaged"]
    json.dumps(runs, indent=2)
    assert len(table(runs).splitlines()) == 3


def test_a_pipe_or_a_folder_called_run_json_ends_nothing(tmp_path: Path) -> None:
    write(tmp_path, "good", json.dumps(GOOD))
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "run.json")
    (tmp_path / "folder" / "run.json").mkdir(parents=True)
    runs = {Path(run["folder"]).name: run for run in all_runs([tmp_path])}
    assert {name: run["status"] for name, run in runs.items()} == {
        "good": "completed", "pipe": "damaged", "folder": "unreadable",
    }  # fmt: skip


def test_a_record_that_may_not_be_read_is_no_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "run", json.dumps(GOOD))

    def refuse(path: object, *_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "open", refuse)
    (run,) = all_runs([tmp_path])
    assert run["status"] == "unreadable"
    assert "permit access" in run["error"]


def test_no_name_breaks_the_table(tmp_path: Path) -> None:
    name = "two\nlines\x1b[2J" + "wide" * 1000
    write(tmp_path, "ru\udcffn", json.dumps(GOOD | {"name": name, "model": {"name": [name]}, "status": name}))
    runs = all_runs([tmp_path])
    lines = table(runs).splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) < 400
    assert all(text.isprintable() and text.encode() for text in (*lines, caption(runs[0])))


def test_a_list_is_found_by_its_values(tmp_path: Path) -> None:
    write(tmp_path, "run", json.dumps(GOOD | {"config": {"data": {"curriculum": [0.0, 0.5, 1.0]}, "metrics": {}}}))
    (run,) = all_runs([tmp_path])
    for given in ("[0,0.5,1]", "[0.0, 0.50, 1]", "0.5", "0"):
        assert matches(run, [f"data.curriculum={given}"]), given
    for given in ("[0,0.5]", "[0,1,0.5]", "[]", "[0,0.5,1,1]", "0.7", "[0,,1]"):
        assert not matches(run, [f"data.curriculum={given}"]), given


def test_the_newest_run_is_no_trial(tmp_path: Path) -> None:
    for day, trial in enumerate((None, None, {"study": "s", "number": 0})):
        write(tmp_path, str(day), json.dumps(GOOD | {"started": f"2026-01-0{day}", "trial": trial, "config": {}}))
    assert newest_run("resume=last", [tmp_path]).name == "1"


def test_a_filter_that_no_run_can_match_is_named(finished: Path) -> None:
    home = finished.parents[2]
    done = run_in(home, "runs", "status=failed")
    assert done.returncode == 0
    assert "has status=failed" in done.stderr
    done = run_in(home, "runs", "status=complete")
    assert done.returncode == 2
    assert done.stderr == (
        "error: status=complete: must be completed, pruned, running, interrupted, failed, damaged or unreadable\n"
    )
    runs = all_runs([home / "outputs"])
    for known in ("data=digits", "clip_grad_norm=1", "best.val_loss=0", "optimizer.lr=3", "test.n=1"):
        check_filters(runs, [known])
    with pytest.raises(UserError, match=r"^dta: no such key: did you mean data"):
        check_filters(runs, ["dta=digits"])


def test_a_key_below_what_no_run_has_yet_is_not_refused(tmp_path: Path) -> None:
    write(tmp_path, "young", json.dumps(GOOD | {"best": None, "test": None}))
    runs = all_runs([tmp_path])
    for known in ("best.val_accuracy=0.9", "test.accuracy=1"):
        check_filters(runs, [known])
    with pytest.raises(UserError, match=r"^bst\.val_accuracy: no such key"):
        check_filters(runs, ["bst.val_accuracy=0.9"])
    with pytest.raises(UserError, match=r"^optimizer\.lrr: no such key"):
        check_filters(runs, ["optimizer.lrr=1"])


def test_a_folder_is_found_by_any_of_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("outputs/one", "outputs/two"):
        write(tmp_path, name, json.dumps(GOOD))
    runs = all_runs()
    for path in ("outputs/one", "outputs/one/", "./outputs/two/../one", str(tmp_path / "outputs/one")):
        check_filters(runs, [f"folder={path}"])
        assert [run["folder"] for run in runs if matches(run, [f"folder={path}"])] == ["outputs/one"], path


OPTIONS = ("optimizer=muon", "scheduler=cosine", "averaging=swa", "logger=[csv,wandb]")


def test_a_section_is_found_by_the_option_that_it_came_from(tmp_path: Path) -> None:
    write(tmp_path, "chosen", json.dumps(GOOD | {"config": config_to_dict(composed(*OPTIONS))}))
    write(tmp_path, "default", json.dumps(GOOD | {"config": config_to_dict(composed())}))
    chosen, default = sorted(all_runs([tmp_path]), key=lambda run: str(run["folder"]))
    for given in (*OPTIONS, "logger=csv", "logger=wandb", "config.optimizer=muon"):
        assert (matches(chosen, [given]), matches(default, [given])) == (True, False), given
    for given in ("optimizer=adam", "scheduler=step", "averaging=none", "logger=none", "callbacks=none"):
        assert matches(default, [given]), given
    for given in ("optimizer=adamw", "optimizer=sgd", "logger=mlflow", "averaging=ema"):
        assert not any(matches(run, [given]) for run in (chosen, default)), given
        check_filters([chosen, default], [given])


def test_a_filter_by_what_the_record_does_not_keep_names_the_key_to_use(tmp_path: Path) -> None:
    config = config_to_dict(composed("augment=digits", "device=auto"))
    write(tmp_path, "run", json.dumps(GOOD | {"device": "cpu", "config": config}))
    runs = all_runs([tmp_path])
    with pytest.raises(UserError, match=r"^augment=digits: is a section with keys: use one of augment\.degrees, "):
        check_filters(runs, ["augment=digits"])
    with pytest.raises(UserError, match=r"^device=auto: .*: config\.device=auto compares the configuration"):
        check_filters(runs, ["device=auto"])
    check_filters(runs, ["config.device=auto"])
