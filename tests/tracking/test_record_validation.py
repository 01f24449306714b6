"""What a run's record may be, whoever edited it: every value that the code reads is of its type."""

import json
from pathlib import Path
from typing import Any

import pytest
from support import Command

from housenumbers.runtime.errors import UserError
from housenumbers.tracking.record_validation import check_calibration, check_record
from housenumbers.tracking.run_folder import RunFolder

HOSTILE = (2**63, -1.5, "text", "", [], {}, [1], {"a": 1}, True)


def test_a_whole_record_passes(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text())
    assert check_record(record, "here") == record


@pytest.mark.parametrize("key", ["config", "trial", "status", "best", "test", "versions", "seed", "run_id"])
def test_a_value_of_another_type_is_named(finished: Path, key: str) -> None:
    record = json.loads((finished / "run.json").read_text())
    for value in HOSTILE:
        if not isinstance(value, type(record[key] if key != "trial" else {})):
            with pytest.raises(UserError, match=rf"^here: damaged \({key}"):
                check_record(record | {key: value}, "here")


@pytest.mark.parametrize("temperature", [-1.0, 0, 1e-300, 1e9, float("nan"), True, "1"])
def test_a_temperature_that_no_fit_gives_is_refused(finished: Path, temperature: Any) -> None:
    record = json.loads((finished / "run.json").read_text())
    calibration = {"temperature": temperature, "n": 100}
    with pytest.raises(UserError, match=r"here: damaged \(calibration.temperature is not"):
        check_record(record | {"calibration": calibration}, "here")
    with pytest.raises(UserError, match=r"here: damaged \(calibration.temperature is not"):
        check_calibration(calibration, "here")


@pytest.mark.parametrize(
    ("key", "value"), [("trial", 2**63), ("config", "text"), ("config", {"data": 1}), ("best", [])]
)
def test_every_command_says_it_in_one_line(tmp_path: Path, command: Command, key: str, value: Any) -> None:
    run = tmp_path / "outputs" / "edited"
    run.mkdir(parents=True)
    (run / "run.json").write_text(json.dumps({"status": "running", "name": "edited", key: value}))
    for verb, word in (("train", "resume"), ("evaluate", "run"), ("report", "run"), ("train", "repeat")):
        done = command(verb, f"{word}={run}")
        assert done.returncode == 2, (verb, done.stderr)
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
    listed = command("runs", "format=json")
    assert listed.returncode == 0, listed.stderr
    (row,) = json.loads(listed.stdout)
    assert row["status"] == "damaged"
    with pytest.raises(UserError, match=f"{key}"):
        RunFolder(run).record()
