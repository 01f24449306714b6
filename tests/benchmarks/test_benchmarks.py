"""The benchmarks run and print what they promise; how fast anything was is not a test's business."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import REAL_SVHN, ROOT, environment


def bench(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"benchmarks/{script}.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=1200)


@pytest.mark.slow
def test_training_loop_prints_ratios() -> None:
    done = bench("training_loop", "rounds=1", "only=w16_b128")
    assert done.returncode == 0, done.stderr
    assert "ours / bare" in done.stdout
    assert "images/s" in done.stdout


@pytest.mark.slow
def test_start_up_prints_seconds() -> None:
    done = bench("start_up", "n=1")
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout


@pytest.mark.slow
def test_search_prints_ratios() -> None:
    done = bench("search", "data=digits", "seeds=1", "n_trials=2", "epochs=1")
    assert done.returncode == 0, done.stderr
    assert "time to the stock's best, stock / ours: median" in done.stdout


@pytest.mark.slow
def test_sweeper_prints_its_costs() -> None:
    done = bench("sweeper", "trials=100")
    assert done.returncode == 0, done.stderr
    for line in ("overhead of a trial", "idle share of two workers", "sqlite: around trial 10"):
        assert line in done.stdout


@pytest.mark.parametrize("words", [["only=w1_b1"], ["rounds=0"], ["data.reduce=1"]])
def test_mistakes_are_one_line(words: list[str]) -> None:
    done = bench("training_loop", *words)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_transfer_prints_accuracies_and_what_caching_saves() -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra .[lite]")
    done = bench("transfer", "seeds=1", "data=digits", "data.reduce=0.1", "epochs=1")
    assert done.returncode == 0, done.stderr
    assert "frozen: 0." in done.stdout
    assert "on cached ones" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_synthetic_prints_accuracies_draws_them_and_does_not_run_twice(tmp_path: Path) -> None:
    words = ("seeds=1", "factor=0.02", "data.size=500", "epochs=1", f"folder={tmp_path}", f"data.root={REAL_SVHN}")
    done = bench("synthetic", *words)
    assert done.returncode == 0, done.stderr
    assert "rendered digits alone: 0." in done.stdout
    assert "6083 real crops: real crops alone 0." in done.stdout
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("run.json")}
    assert len(before) == 9
    again = bench("synthetic", *words)
    assert again.stdout == done.stdout
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("run.json")}
    assert (tmp_path / "real_labels.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_svhn_6k_prints_accuracies_and_times_and_does_not_run_twice(tmp_path: Path) -> None:
    words = ("only=fast", "seeds=2", "epochs=1", "threads=1", f"folder={tmp_path}", f"data.root={REAL_SVHN}")
    done = bench("svhn_6k", *words)
    assert done.returncode == 0, done.stderr
    assert "fast: 0." in done.stdout
    assert "n=2" in done.stdout
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("run.json")}
    assert bench("svhn_6k", *words).stdout == done.stdout
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("run.json")}


@pytest.mark.slow
def test_predict_prints_crops_a_second() -> None:
    done = bench("predict", "n=200", "rounds=1", "threads=1")
    assert done.returncode == 0, done.stderr
    for line in ("command", "without its start", "model alone"):
        assert line in done.stdout
    assert "crops/s" in done.stdout
