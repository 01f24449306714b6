"""Each worker process sees GPUs of its own, of those that the sweep sees."""

import sys
from pathlib import Path

import pytest
from support import SWEEP, begin_sweep, run_in, sweep
from test_worker_pool import LONG, PINNED, wait_for, workers_of

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.gpus import divide, gpus_of_workers, visible_gpus
from housenumbers.sweeps.worker_pool import run_local_workers

FIRST, SECOND = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-GPU-8932f937/1/2"


@pytest.mark.parametrize(
    ("named", "gpus"),
    [
        ("0,1", ["0", "1"]),
        (" 3 , 1", ["3", "1"]),
        (f"{FIRST},{SECOND}", [FIRST, SECOND]),
        ("0,-1,1", ["0"]),
        ("-1", []),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_an_existing_choice_of_gpus_is_respected(named: str, gpus: list[str]) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": named}) == gpus


def test_each_worker_gets_its_own_or_they_take_turns() -> None:
    gpus = ["3", "1", FIRST, SECOND]
    assert divide(gpus, 4, 1) == [["3"], ["1"], [FIRST], [SECOND]]
    assert divide(gpus, 2, 2) == [["3", "1"], [FIRST, SECOND]]
    assert divide(gpus[:3], 3, 2) == [["3", "1"]] * 3
    assert divide(gpus[:2], 5, 1) == [["3"], ["1"], ["3"], ["1"], ["3"]]


def of_workers(workers: int, per_trial: int = 1, device: str = "auto", launcher: str = "BasicLauncher") -> tuple:
    variables, note = gpus_of_workers(device, launcher, workers, per_trial)
    assert len(variables) == workers
    return [entry.get("CUDA_VISIBLE_DEVICES") for entry in variables], note


def test_what_the_workers_of_a_sweep_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"5,{FIRST}")
    assert of_workers(2) == (["5", FIRST], None)
    assert of_workers(2, device="cuda", launcher="JoblibLauncher") == (["5", FIRST], None)
    assert of_workers(1, 2) == ([f"5,{FIRST}"], None)
    assert of_workers(3) == (["5", FIRST, "5"], "2 GPUs for 3 workers: workers share them in turns")
    assert of_workers(2, 2)[1] == "2 GPUs, 2 for each trial, for 2 workers: workers share them in turns"
    for device in ("cpu", "mps", "cuda:1"):
        assert of_workers(2, device=device) == ([None, None], None)
        with pytest.raises(UserError, match=r"gpus_per_trial=2: needs device=auto"):
            of_workers(2, 2, device)
    assert of_workers(2, launcher="SlurmLauncher") == ([None, None], None)
    with pytest.raises(UserError, match=r"gpus_per_trial=2: SlurmLauncher gives GPUs"):
        of_workers(2, 2, launcher="SlurmLauncher")
    with pytest.raises(UserError, match=r"gpus_per_trial=3: 2 GPUs visible"):
        of_workers(2, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert of_workers(2) == ([None, None], None)


def test_a_worker_process_sees_its_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    report = "import os, pathlib; pathlib.Path(os.environ['CUDA_VISIBLE_DEVICES']).touch()"
    monkeypatch.chdir(tmp_path)
    run_local_workers([sys.executable, "-c", report], gpus_of_workers("auto", "BasicLauncher", 2, 1)[0])
    assert {path.name for path in tmp_path.iterdir()} == {"4", "6"}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_divides_its_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str) -> None:
    if launcher == "joblib":
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="needs the extra .[joblib]")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", f"4,{FIRST}")
    words = ("hydra.sweeper.n_jobs=2", "hydra.sweeper.n_trials=9", f"hydra/launcher={launcher}")
    process = begin_sweep(tmp_path, *PINNED, *LONG, *words)
    workers = wait_for(lambda: len(found := workers_of(process)) == 2 and found)
    assert {worker.environ()["CUDA_VISIBLE_DEVICES"] for worker in workers} == {"4", FIRST}
    process.kill()
    process.communicate(timeout=20)


def test_the_one_worker_of_a_sweep_gets_its_gpus_too(tmp_path: Path) -> None:
    (tmp_path / "seen.py").write_text(
        "import os, pathlib\n"
        "def seen(record):\n    pathlib.Path('visible').write_text(os.environ['CUDA_VISIBLE_DEVICES'])\n"
    )
    callback = "+callbacks.seen={_target_:seen.seen,_partial_:true}"
    words = ("epochs=1", "scheduler.step_size=1", "hydra.sweeper.n_trials=1", callback)
    more = {"CUDA_VISIBLE_DEVICES": "4,6,8", "PYTHONPATH": str(tmp_path), "HOUSENUMBERS_ALLOW": "seen.*"}
    done = run_in(tmp_path, "train", *SWEEP, *words, "hydra.sweeper.gpus_per_trial=2", **more)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "visible").read_text() == "4,6"
    refused = run_in(tmp_path, "train", *SWEEP, *words, "hydra.sweeper.gpus_per_trial=4", **more)
    assert refused.returncode == 2
    assert "hydra.sweeper.gpus_per_trial=4: 3 GPUs visible: give fewer" in refused.stderr


@pytest.mark.parametrize("value", ["0", "1.5", "many", "true"])
def test_a_wrong_number_is_one_line(tmp_path: Path, value: str) -> None:
    done = sweep(tmp_path, f"hydra.sweeper.gpus_per_trial={value}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "gpus_per_trial" in line
