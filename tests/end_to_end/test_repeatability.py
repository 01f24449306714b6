"""Equal runs are equal to the bit, through kill -9 at any moment. Real processes, really killed."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import ROOT, TINY, Command, command_line, environment, only_run, run_ended, run_folders, run_in

from housenumbers.tracking.run_folder import RunFolder

# Everything that could remember a random number: augmentation, a scheduler that steps per batch, momentum.
LONG = (*TINY, "epochs=5", "augment=rotation", "augment.translate=2", "scheduler=onecycle")

FAST = (
    *(word for word in TINY if not word.startswith("model.")), "experiment=fast", "data.val_fraction=0.2",
    "model.channels=[4,8]", "model.convolutions=[1,2]", "augment.color=0.2", "augment.cutout=6", "epochs=5",
    "averaging=ema", "augment.mixup=0.2", "progressive.sizes=[16,32]", "progressive.freeze_after=[0.5]",
)  # fmt: skip


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def results(folder: Path) -> dict:
    """All that must be equal between equal runs, and the processor, in case that it was not; not the seconds."""
    run = record(folder)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    best = torch.load(folder / "checkpoints" / "best.pt", weights_only=True)
    return {
        "cpu": run["cpu"],
        "weights": run["weights_sha256"],
        "data": run["data_sha256"],
        "best": run["best"],
        "test": run["test"],
        "best_weights": {name: tensor.tolist() for name, tensor in best["model"].items()},
        "history": [{key: value for key, value in line.items() if key != "seconds"} for line in lines],
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict:
    home = tmp_path_factory.mktemp("uninterrupted")
    subprocess.run(command_line("train", *LONG), cwd=home, env=environment(), check=True, capture_output=True)
    return results(only_run(home))


def start(home: Path, *more: str, words: tuple[str, ...] = LONG, wrapper: str | None = None) -> subprocess.Popen[bytes]:
    command = command_line("train", *words, *more)
    if wrapper is not None:
        command[1:2] = ["-c", wrapper, command[1]]
    return subprocess.Popen(command, cwd=home, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_epochs(home: Path, epochs: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        lines = [len(file.read_text().splitlines()) for file in home.glob("outputs/*/*/metrics.jsonl")]
        if max(lines, default=0) >= epochs:
            return
        time.sleep(0.03)
    raise TimeoutError(f"no {epochs} epochs in {home}")


def test_equal_runs_are_equal_and_another_seed_differs(command: Command, tmp_path: Path, uninterrupted: dict) -> None:
    assert command("train", *LONG).returncode == 0
    assert results(only_run(tmp_path)) == uninterrupted
    assert command("train", *LONG, "seed=43").returncode == 0
    weights = {record(folder)["weights_sha256"] for folder in run_folders(tmp_path)}
    assert len(weights) == 2


@pytest.mark.parametrize("epochs", [1, *(pytest.param(epochs, marks=pytest.mark.slow) for epochs in (0, 3))])
def test_killed_at_a_random_moment_then_resumed(
    command: Command, tmp_path: Path, uninterrupted: dict, epochs: int
) -> None:
    process = start(tmp_path)
    if epochs == 0:
        while not list(tmp_path.glob("outputs/*/*/run.json")):
            assert process.poll() is None
            time.sleep(0.02)
    wait_for_epochs(tmp_path, epochs)
    time.sleep(random.uniform(0, 0.3))
    process.kill()
    process.wait()
    folder = only_run(tmp_path)
    assert "interrupted" in command("runs").stdout
    done = command("train", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert results(folder) == uninterrupted
    assert run_folders(tmp_path) == [folder]


@pytest.mark.slow
def test_all_that_the_fast_preset_and_other_techniques_add_goes_on_after_a_kill(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    assert run_in(whole, "train", *FAST).returncode == 0
    assert run_ended(killed, signal.SIGKILL, 2, *FAST).returncode == -signal.SIGKILL
    done = run_in(killed, "train", f"resume={only_run(killed)}")
    assert done.returncode == 0, done.stderr
    assert results(only_run(killed)) == results(only_run(whole))


@pytest.mark.slow
def test_killed_before_it_wrote_anything(command: Command, tmp_path: Path, uninterrupted: dict) -> None:
    process = start(tmp_path)
    while not (configs := list(tmp_path.glob("outputs/*/*/.hydra/overrides.yaml"))):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    folder = configs[0].parent.parent
    assert command("train", f"resume={folder}").returncode == 0
    assert results(folder) == uninterrupted


# Kills its own process in the middle of the Nth checkpoint: half of the bytes are written, nothing is renamed.
KILL_IN_CHECKPOINT = """
import os, runpy, signal, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
sync, count = os.fsync, 0
def sync_or_die(descriptor):
    global count
    if ".pt." in os.readlink(f"/proc/self/fd/{{descriptor}}"):
        count += 1
        if count == {number}:
            os.truncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
    sync(descriptor)
os.fsync = sync_or_die
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the checkpoint's file through /proc")
@pytest.mark.parametrize("number", [1, 2, 5])
def test_killed_while_a_checkpoint_is_written(
    command: Command, tmp_path: Path, uninterrupted: dict, number: int
) -> None:
    process = start(tmp_path, wrapper=KILL_IN_CHECKPOINT.format(number=number))
    assert process.wait(120) == -signal.SIGKILL
    folder = only_run(tmp_path)
    assert list(folder.rglob(".*.tmp"))
    done = command("train", f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert results(folder) == uninterrupted
    assert not list(folder.rglob(".*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_signal_is_recorded_and_can_be_resumed(
    command: Command, tmp_path: Path, uninterrupted: dict, number: signal.Signals
) -> None:
    assert run_ended(tmp_path, number, 2, *LONG).returncode == 128 + number
    folder = only_run(tmp_path)
    assert record(folder)["status"] == "interrupted"
    assert f"resume={folder}" in (folder / "train.log").read_text()
    assert command("train", f"resume={folder}").returncode == 0
    assert results(folder) == uninterrupted


@pytest.mark.parametrize("verb", ["train", "resume"])
def test_a_signal_does_not_tear_the_loading_of_a_library(
    command: Command, finished: Path, tmp_path: Path, verb: str
) -> None:
    """Torch would drop the exception, and go on with half of NumPy."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'numpy.linalg':\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.meta_path.insert(0, Finder())\n"
    )
    begun = shutil.copytree(finished, tmp_path / "begun")
    (begun / "run.json").write_text(json.dumps(record(finished) | {"status": "interrupted"}))
    words = TINY if verb == "train" else (f"resume={begun}",)
    done = command("train", *words, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (128 + signal.SIGTERM, "")
    assert record(begun)["status"] == "interrupted"


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(tmp_path: Path, uninterrupted: dict) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root alone, on Linux")
    try:
        failed = run_in(disk, "train", *LONG)
        assert failed.returncode == 2
        (line,) = failed.stderr.splitlines()
        assert "No space left on device" in line
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        folder = only_run(disk)
        assert run_in(disk, "train", f"resume={folder}").returncode == 0
        assert results(folder) == uninterrupted
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
def test_a_run_at_work_is_left_alone(command: Command, tmp_path: Path) -> None:
    process = start(tmp_path, "epochs=500")
    try:
        wait_for_epochs(tmp_path, 1)
        folder = only_run(tmp_path)
        assert command("runs", "status=running").stdout.count("running") == 1
        done = command("train", f"resume={folder}")
        assert done.returncode == 2
        assert "another process uses this run" in done.stderr
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "mode", [["hydra.run.dir={folder}"], ["-m", "hydra.sweep.dir={folder.parent}", "hydra.sweep.subdir=run"]]
)
def test_a_run_that_comes_second_into_a_folder_writes_nothing(
    command: Command, tmp_path: Path, mode: list[str]
) -> None:
    folder = tmp_path / "runs" / "run"
    with RunFolder(folder).locked():  # as by a run that has begun and has no record yet
        done = command("train", *(word.format(folder=folder) for word in mode), *TINY)
    assert done.returncode == 2
    assert "another process uses this run" in done.stderr
    assert [file.name for file in folder.iterdir()] == [".lock"]


def test_a_damaged_last_checkpoint_is_one_line_that_says_how_to_go_on(command: Command, tmp_path: Path) -> None:
    assert run_ended(tmp_path, signal.SIGKILL, 1, *LONG, "epochs=2").returncode == -signal.SIGKILL
    folder = only_run(tmp_path)
    last = folder / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    done = command("train", f"resume={folder}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"or delete {last}, and the run begins anew" in line
    last.unlink()
    assert command("train", f"resume={folder}").returncode == 0


@pytest.mark.parametrize("epochs", [0, 1])
def test_a_run_says_that_it_has_gone_on_under_other_conditions(command: Command, tmp_path: Path, epochs: int) -> None:
    """Where nothing was trained under the earlier ones, it has not."""
    assert run_ended(tmp_path, signal.SIGKILL, 1, *LONG, "epochs=2").returncode == -signal.SIGKILL
    folder = only_run(tmp_path)
    if epochs == 0:
        shutil.rmtree(folder / "checkpoints")
    done = command("train", f"resume={folder}", "threads=2")
    assert done.returncode == 0, done.stderr
    assert record(folder)["threads"] == 2
    assert record(folder)["conditions_mixed"] is (epochs > 0)


def test_resuming_a_completed_run_changes_nothing(command: Command, finished: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != ".lock"}
    done = command("train", f"resume={finished}")
    assert done.returncode == 0
    assert "completed" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*") if path.name != ".lock"} == before
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resume=nowhere"], "not a run's folder"),
        (["resume={finished}", "optimizer.lr=0.1"], "optimizer.lr=0.1"),
        (["resume={finished}", "device=toaster"], "device=toaster"),
        (["repeat={finished}", "seed=3"], "seed=3"),
        (["repeat=nowhere"], "not a run's folder"),
        (["resume={finished}/checkpoints/last.pt"], "name the folder of the run: resume={finished}"),
        (["resume={finished}/run.json"], "name the folder of the run: resume={finished}"),
        (["repeat={finished}/run.json"], "name the folder of the run: repeat={finished}"),
        (["resume={finished}", "epochs=2"], "this run has 3"),
        (["repeat={finished}", "epochs=5"], "epochs=5: a saved run keeps its configuration"),
        (["resume=last"], "no run below"),
    ],
)
def test_what_cannot_be_resumed_or_repeated_is_one_line(
    command: Command, finished: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    done = command("train", *(word.format(finished=finished) for word in words))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said.format(finished=finished) in line
    assert not (tmp_path / "outputs").exists()


def test_a_damaged_record_is_one_line(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "day" / "run"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text('{"status": "runn')
    done = command("train", f"resume={folder}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "damaged" in command("runs").stdout


def test_repeat_says_whether_the_bits_are_equal(command: Command, finished: Path, tmp_path: Path) -> None:
    same = command("train", f"repeat={finished}")
    assert same.returncode == 0, same.stderr
    assert "bit-identical" in same.stdout
    assert "a page of it:" in same.stdout
    assert record(only_run(tmp_path))["weights_sha256"] == record(finished)["weights_sha256"]


def test_tags_and_note_outlive_resume_and_repeat(command: Command, finished: Path, tmp_path: Path) -> None:
    first = shutil.copytree(finished, tmp_path / "first")
    assert command("runs", f"run={first}", "tags=[a,b]", "note=first try").returncode == 0
    RunFolder(first).update(status="interrupted")
    assert command("train", f"resume={first}").returncode == 0
    assert record(first)["status"] == "completed"
    repeated = command("train", f"repeat={first}")
    assert repeated.returncode == 0, repeated.stderr
    assert "bit-identical" in repeated.stdout
    for folder in (first, only_run(tmp_path / "outputs")):
        assert json.loads((folder / "tags.json").read_text()) == {"tags": ["a", "b"], "note": "first try"}
    config, other = (record(folder)["config"] for folder in (first, finished))
    assert config == other


def test_repeat_names_a_differing_thread_count(command: Command, finished: Path) -> None:
    other = command("train", f"repeat={finished}", "threads=2")
    assert other.returncode == 0, other.stderr
    assert "thread count" in other.stdout or "bit-identical" in other.stdout


def test_repeat_names_what_the_arithmetic_depends_on(command: Command, finished: Path, tmp_path: Path) -> None:
    forged = shutil.copytree(finished, tmp_path / "forged")
    arithmetic = record(finished)["arithmetic"] | {"ONEDNN_MAX_CPU_ISA": "SSE41", "cpu_capability": "other"}
    other = {"weights_sha256": "0" * 64, "arithmetic": arithmetic}
    (forged / "run.json").write_text(json.dumps(record(finished) | other))
    done = command("train", f"repeat={forged}")
    assert done.returncode == 0, done.stderr
    assert "need not be equal: different" in done.stdout
    assert "cpu_capability, ONEDNN_MAX_CPU_ISA" in done.stdout


def test_repeat_fails_where_bits_differ_for_no_reason(command: Command, finished: Path, tmp_path: Path) -> None:
    forged = shutil.copytree(finished, tmp_path / "forged")
    (forged / "run.json").write_text(json.dumps(record(finished) | {"weights_sha256": "0" * 64}))
    done = command("train", f"repeat={forged}")
    assert done.returncode == 1
    assert "though nothing else does" in done.stdout


def test_the_saved_configuration_composes_to_the_same_run(command: Command, finished: Path, tmp_path: Path) -> None:
    done = command("train", f"--config-path={finished / '.hydra'}", "--config-name=config")
    assert done.returncode == 0, done.stderr
    assert results(only_run(tmp_path)) == results(finished)


@pytest.mark.parametrize(
    "words",
    [
        ["hydra.run.dir='{folder}'"],
        ["-m", "hydra.sweep.dir='{folder.parent}'", "hydra.sweep.subdir={folder.name}"],
    ],
)
def test_a_folder_that_holds_a_run_is_refused_and_left_as_it_is(
    command: Command, finished: Path, tmp_path: Path, words: list[str]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "runs" / "first")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    done = command("train", *(word.format(folder=folder) for word in words), *TINY, "seed=5")
    assert done.returncode == 2
    assert "holds a run" in done.stderr
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [("model", "width", "x"), ("model", "blocks", 5), ("optimizer", "lr", -1), ("scheduler", "interval", "week")],
)
def test_a_saved_configuration_is_checked_as_a_new_one(
    command: Command, finished: Path, tmp_path: Path, group: str, key: str, value: object
) -> None:
    edited = record(finished) | {"status": "interrupted"}
    edited["config"][group][key] = value
    (tmp_path / "run.json").write_text(json.dumps(edited))
    done = command("train", f"resume={tmp_path}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f"{group}.{key}" in line


def test_only_our_own_leftovers_are_removed(command: Command, tmp_path: Path) -> None:
    mine, ours = tmp_path / ".mine.tmp", tmp_path / f".run.json.{'0' * 32}.tmp"
    mine.touch()
    ours.touch()
    assert command("train", *TINY, "epochs=1", "hydra.run.dir=.").returncode == 0
    assert mine.exists()
    assert not ours.exists()


@pytest.mark.slow
def test_a_signal_does_not_tear_what_a_run_is_writing(tmp_path: Path) -> None:
    """A study's database and matplotlib do not bear an exception in the middle of a call."""
    code = f"""
import os, runpy, signal, sys
from torch.utils.tensorboard import SummaryWriter
write = SummaryWriter.add_scalar
def torn(self, tag, *rest, **more):
    if tag == "Loss/train":
        os.kill(os.getpid(), signal.SIGTERM)
    write(self, tag, *rest, **more)
    if tag == "Loss/train":
        print("written whole", flush=True)
SummaryWriter.add_scalar = torn
sys.argv = {["train.py", *LONG]!r}
sys.path.insert(0, {str(ROOT / "src")!r})
runpy.run_path({str(ROOT / "src" / "train.py")!r}, run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stdout.count("written whole") == 1
    assert record(only_run(tmp_path))["status"] == "interrupted"
