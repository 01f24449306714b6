"""The benchmarks run and print what they promise; how fast anything was is not a test's business."""

import json
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support import REAL_SVHN, ROOT, environment
from warm import run_script, scripts_start_warm


def bench(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, f"benchmarks/{script}.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=1200)


def bench_of_runs(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same of a script that starts runs before it computes, and keeps no temporary folder."""
    command = [sys.executable, f"benchmarks/{script}.py", *arguments]
    return run_script(command, ROOT, environment(), 1200, scripts_start_warm)


@pytest.mark.slow
def test_training_loop_prints_ratios() -> None:
    done = bench("training_loop", "rounds=1", "only=fast_b64")
    assert done.returncode == 0, done.stderr
    assert "ours / bare" in done.stdout
    assert "images/s" in done.stdout


@pytest.mark.slow
def test_start_up_prints_seconds() -> None:
    done = bench("start_up", "n=1")
    assert done.returncode == 0, done.stderr
    assert "--help" in done.stdout


@pytest.mark.slow
def test_one_image_is_measured_beside_another_checkout() -> None:
    done = bench("one_image", "n=1", f"old={ROOT}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("old / ours") == 2
    assert done.stdout.count("import torch / ours") == 2


@pytest.mark.slow
def test_search_prints_ratios() -> None:
    done = bench("search", "data=digits", "seeds=1", "n_trials=2", "epochs=1")
    assert done.returncode == 0, done.stderr
    assert "time to the stock's best, stock / ours: median" in done.stdout


@pytest.mark.slow
def test_samplers_prints_what_they_learn_from() -> None:
    done = bench("samplers", "only=random,tpe", "most=12", "n=20")
    assert done.returncode == 0, done.stderr
    rows = {row[0]: row[1:4] for row in re.findall(r"^\| `(\w+)` \| (\w+) \| (\w+) \| (\w+) \|", done.stdout, re.M)}
    assert rows["random"] == ("no", "no", "no")
    assert rows["tpe"] == ("yes", "no", "no")  # without constant_liar
    assert rows["median"] == ("yes", "no", "no")  # complete, pruned, failed trials
    assert rows["halving"][:2] == ("yes", "yes")


@pytest.mark.slow
def test_sweeper_prints_its_costs() -> None:
    done = bench("sweeper", "trials=100", "short=3", "uneven=4", f"old={ROOT}")
    assert done.returncode == 0, done.stderr
    assert "old / here" in done.stdout
    for line in ("overhead of a trial", "idle share of two workers", "sqlite: around trial 10"):
        assert line in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_ablation_prints_paired_differences_and_does_not_run_twice(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    small = ("only=ema,sizes", "folds=1", "epochs=1", "threads=1", "data.reduce=0.2")
    words = (*small, f"file={file}", f"data.root={REAL_SVHN}")
    assert bench_of_runs("ablation", *words, "seeds=1").returncode == 0
    first = file.read_text()
    file.write_text(f"{first}\n{first[:30]}")  # a kill in the middle of a line
    done = bench_of_runs("ablation", *words, "seeds=2")
    assert done.returncode == 0, done.stderr
    assert file.read_text().startswith(first)
    assert file.read_text().count('"accuracy"') == 6
    assert "| sizes: `progressive.sizes=[24,32]` |" in done.stdout
    assert bench_of_runs("ablation", *words, "seeds=2").stdout == done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_leak_compares_the_splits(tmp_path: Path) -> None:
    done = bench_of_runs("leak", "seeds=1", "epochs=1", f"folder={tmp_path}", f"data.root={REAL_SVHN}")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\w+): validation [\d.]+, test", done.stdout, re.MULTILINE) == ["random", "blocks", "photos"]
    assert "validation, random - photos" in done.stdout


@pytest.mark.slow
def test_numbers_prints_accuracies_and_speeds(numbers_run: Path, finished: Path) -> None:
    done = bench("numbers", f"run=[{numbers_run},{numbers_run}]", "only=tesseract", "rounds=1", "n=5", "threads=1")
    assert done.returncode == 0, done.stderr
    assert len(re.findall(r"^  ours, seed \d+ +[\d.]+% of 5 right, 95 % interval", done.stdout, re.MULTILINE)) == 2
    assert re.search(r"^  ours, n=2 runs +[\d.]+ ± 0\.0000$", done.stdout, re.MULTILINE)
    assert "tesseract" in done.stdout  # its accuracy, or that it is left out
    assert re.search(r"^  ours, one at a time +\d", done.stdout, re.MULTILINE)
    refused = bench("numbers", f"run={numbers_run}", f"digits={finished}", "rounds=1", "n=5")
    assert refused.returncode == 2
    assert "the photos of its test crops are not known" in refused.stderr


@pytest.mark.slow
def test_finding_prints_what_is_found_in_each_kind_of_photo(numbers_run: Path) -> None:
    done = bench("finding", f"run={numbers_run}", "n=2")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(\w+), n=2$", done.stdout, re.MULTILINE) == ["rendered", "pasted", "empty"]
    assert done.stdout.count("CPU time of a photo") == 3


def test_a_benchmark_hides_no_module_of_python() -> None:
    code = (
        "import numbers, ocr_readers as ocr; "
        "print(numbers.Integral, ocr.letters_to_digits('l2O-a'), ocr.digits_only('l2O-a'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "benchmarks", capture_output=True, text=True)
    assert done.stdout == "<class 'numbers.Integral'> 120 2\n", done.stderr


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("numbers", [], "run=RUN"),
        ("numbers", ["run=nowhere"], "nowhere"),
        ("numbers", ["run=last", "only=easyocr"], "only=easyocr"),
        ("finding", ["n=0"], "n=0"),
        ("finding", ["run=nowhere"], "nowhere"),
        ("training_loop", ["only=w1_b1"], "only=w1_b1"),
        ("training_loop", ["rounds=0"], "rounds=0"),
        ("training_loop", ["data.reduce=1"], "data.reduce"),
        ("inference", ["only=resnet"], "only=resnet"),
        ("inference", ["data.root=nowhere"], "nowhere"),
        ("exported", ["only=resnet"], "only=resnet"),
        ("one_image", ["old=nowhere"], "old=nowhere"),
        ("sweeper", ["old=nowhere"], "old=nowhere"),
        ("leak", ["seeds=0"], "seeds=0"),
        ("photo_table", ["source=nowhere"], "source=nowhere"),
        ("peers", ["rounds=0"], "rounds=0"),
        ("samplers", ["only=best"], "only=best"),
        ("curves", ["task=resnet"], "task=resnet"),
        ("replay", ["table=nowhere"], "table=nowhere"),
        ("against_others", ["only=keras"], "only=keras"),
        ("against_others", ["only=ours", "part=speed", "data.root=nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(script: str, words: list[str], said: str) -> None:
    done = run_script([sys.executable, f"benchmarks/{script}.py", *words], ROOT, environment(), timeout=300)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.mark.slow
def test_inference_prints_ratios() -> None:
    done = bench("inference", "only=fastnet", "rounds=1", "threads=1")
    assert done.returncode == 0, done.stderr
    assert "ours / plain" in done.stdout
    differing, count = re.search(r"labels that differ: ([\d,]+) of ([\d,]+)", done.stdout).groups()
    assert int(differing.replace(",", "")) <= int(count.replace(",", "")) / 500  # images on the edge


def test_the_extra_that_is_missing_is_named(tmp_path: Path) -> None:
    """As where lightning is not installed, which this machine may have."""
    hide = (
        "import importlib.util, runpy, sys; find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'lightning' else find(name, *more)\n"
        "sys.argv = ['against_others.py', 'only=lightning', f'data.root={sys.argv[1]}']\n"
        "sys.path.insert(0, 'benchmarks'); runpy.run_path('benchmarks/against_others.py', run_name='__main__')"
    )
    command = [sys.executable, "-c", hide, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert ".[others]" in line


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
@pytest.mark.parametrize("only", ["ours", "torchvision", "lightning", "timm"])
def test_against_others_prints_speeds_and_accuracies_and_does_not_train_twice(only: str, tmp_path: Path) -> None:
    if only in ("lightning", "timm"):
        pytest.importorskip(only, reason="needs the extra .[others]")
    file = tmp_path / "trainings.jsonl"
    small = ("rounds=1", "epochs=1", "seeds=2", "threads=1", "data.reduce=0.05", f"file={file}")
    words = ("network=fastnet", f"only={only}", *small, f"data.root={REAL_SVHN}")
    done = bench("against_others", *words)
    assert done.returncode == 0, done.stderr
    assert re.search(rf"  {only}, images/s|  {only}, 0 workers, images/s", done.stdout)
    assert re.search(rf"  {only}, 1 epochs +0\.\d+ ± 0\.\d+ in \d+\.\d .*n=2 seeds", done.stdout)
    noted = file.read_text()
    assert noted.count('"val_fraction": 0.2') == (0 if only == "ours" else noted.count('"accuracy"') - 2)
    again = bench("against_others", "part=accuracy", *words)
    assert again.stdout.splitlines()[-2:] == done.stdout.splitlines()[-2:]
    assert file.read_text() == noted


@pytest.mark.slow
def test_transfer_prints_accuracies_and_what_caching_saves(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra .[lite]")
    words = ("seeds=1", "data=digits", "data.reduce=0.1", "data.size=300", "epochs=1", "threads=1")
    done = bench_of_runs("transfer", *words, f"folder={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert "EfficientNet-Lite0, frozen: 0." in done.stdout
    assert "rendered crops, fine-tuned: 0." in done.stdout
    assert "on cached ones" in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_synthetic_prints_accuracies_draws_them_and_does_not_run_twice(tmp_path: Path) -> None:
    small = ("only=100,6083", "seeds=1", "factor=0.02", "data.size=500", "epochs=1")
    words = (*small, f"folder={tmp_path}", f"data.root={REAL_SVHN}")
    done = bench_of_runs("synthetic", *words)
    assert done.returncode == 0, done.stderr
    assert "rendered digits alone: 0." in done.stdout
    assert re.findall(r"^ *(\d+) real crops: real crops alone 0\.", done.stdout, re.MULTILINE) == ["100", "6083"]
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("run.json")}
    assert len(before) == 1 + 2 * 2
    again = bench_of_runs("synthetic", *words)
    assert again.stdout == done.stdout
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("run.json")}
    assert (tmp_path / "real_labels.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_svhn_6k_prints_accuracies_and_times_and_does_not_run_twice(tmp_path: Path) -> None:
    small = ("only=fast", "seeds=2", "epochs=1", "threads=1", "data.reduce=0.2")
    words = (*small, f"folder={tmp_path}", f"data.root={REAL_SVHN}")
    done = bench_of_runs("svhn_6k", *words)
    assert done.returncode == 0, done.stderr
    assert "fast: 0." in done.stdout
    assert "n=2" in done.stdout
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("run.json")}
    assert bench_of_runs("svhn_6k", *words).stdout == done.stdout
    other = bench_of_runs("svhn_6k", *(word.replace("epochs=1", "epochs=2") for word in words))
    assert other.returncode == 2
    assert f"{tmp_path}/fast_0: a run with other settings (epochs=2, was 1)" in other.stderr
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("run.json")}


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_svhn_6k_goes_on_from_rendered_crops(tmp_path: Path) -> None:
    small = ("seeds=1", "epochs=1", "data.size=100", "data.reduce=0.02", "threads=1")
    words = (*small, f"folder={tmp_path}", f"data.root={REAL_SVHN}")
    done = bench_of_runs("svhn_6k", "only=best_after_rendered", *words)
    assert done.returncode == 0, done.stderr
    assert "best_after_rendered: 0." in done.stdout
    assert "n=1" in done.stdout
    config = json.loads((tmp_path / "best_after_rendered_0/run.json").read_text())["config"]
    assert config["model"]["pretrained"] == f"run:{tmp_path}/best_after_rendered_0_rendered"


@pytest.mark.slow
def test_predict_prints_crops_a_second() -> None:
    done = bench("predict", "n=200", "rounds=1", "threads=1")
    assert done.returncode == 0, done.stderr
    for line in ("command", "without its start", "model alone"):
        assert line in done.stdout
    assert "crops/s" in done.stdout


@pytest.mark.slow
def test_exported_prints_ratios() -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra .[onnx]")
    done = bench("exported", "only=fastnet", "rounds=1", "threads=1")
    assert done.returncode == 0, done.stderr
    for line in ("fastnet, batches of 1:", "fastnet, batches of 250:", "onnx runtime / plain", "onnx runtime / folded"):
        assert line in done.stdout


@pytest.mark.slow
def test_views_prints_equal_labels_and_ratios_and_does_not_train_twice(tmp_path: Path) -> None:
    words = ("data=synthetic", "data.size=400", "seeds=1", "n=100", "rounds=1", "threads=1", f"folder={tmp_path}")
    assert bench_of_runs("views", *words).returncode == 0
    weights = (tmp_path / "seed=1/checkpoints/best.pt").read_bytes()
    done = bench_of_runs("views", *words)
    assert done.returncode == 0, done.stderr
    for line in (
        "of 100 labels differ",
        "equal labels, views where needed: ",
        "bfloat16, images/s",
        "calibration error",
        "views where needed / all views",
    ):
        assert line in done.stdout
    assert (tmp_path / "seed=1/checkpoints/best.pt").read_bytes() == weights


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_model_cards_writes_what_it_measures_into_the_card(tmp_path: Path) -> None:
    card = tmp_path / "digits.md"
    words = ("only=pretrained_digits", "corruptions=false", f"folder={tmp_path}", f"data.root={REAL_SVHN}")
    card.write_text("Nothing measured.\n")
    refused = bench("model_cards", *words)
    assert refused.returncode == 2
    assert "has no place for what is measured" in refused.stderr
    measured = "<!-- measured: python benchmarks/model_cards.py data.root=FOLDER -->"
    card.write_text(f"Before.\n{measured}\nold\n<!-- end -->\nAfter.\n")
    done = bench("model_cards", *words)
    assert done.returncode == 0, done.stderr
    text = card.read_text()
    assert text.startswith(f"Before.\n{measured}\n| what | value |\n")
    assert text.endswith("<!-- end -->\nAfter.\n")
    assert "old" not in text
    assert re.search(r"\| accuracy on SVHN-6k's test crops \| \d\d\.\d\d % of 1,001 \(95 % interval", text)
    assert re.search(r"\| expected calibration error on them \| \d+\.\d\d % \|", text)


@pytest.fixture
def stand_in(tmp_path: Path) -> Path:
    """An environment as peers.py makes it, with a package that is called like ccexam: its digit is always 1."""
    home = tmp_path / "peer"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    (site_packages,) = home.glob("lib/python*/site-packages")
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (site_packages / "ccexam/weights").mkdir(parents=True)
    (site_packages / "ccexam/weights/svhn.pth").write_bytes(b"none")
    (site_packages / "ccexam/__init__.py").touch()
    (site_packages / "ccexam/constants.py").write_text("DATASET_STATS = {'svhn': {'mean': [0] * 3, 'std': [1] * 3}}")
    ones = "staticmethod(lambda images: [1] * len(images))"
    (site_packages / "ccexam/inference.py").write_text(
        f"class Ones:\n    predict_batch = predict_batch_tensor = {ones}\n\n"
        "class InferenceFactory:\n    create = staticmethod(lambda name, device: Ones())\n"
    )
    command = home / "bin" / "ccexam-infer"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    return home


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_peers_prints_accuracies_speeds_and_sizes(stand_in: Path) -> None:
    done = bench("peers", f"peer={stand_in}", "rounds=1", f"data.root={REAL_SVHN}")
    assert done.returncode == 0, done.stderr
    assert "accuracy              17.68% (177 of 1001;" in done.stdout  # so many ones there are
    assert "pretrained_digits against ccexam" in done.stdout
    for line in ("crops/s, in memory", "crops/s, image files", "one image, s", "weights, MB", "McNemar's p"):
        assert line in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_a_peer_that_cannot_be_had_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/peers.py", f"data.root={REAL_SVHN}", f"peer={tmp_path / 'peer'}"]
    env = environment(PIP_NO_INDEX="1", PIP_CONFIG_FILE="/dev/null")
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "peer=" in line
    assert "ccexam==1.0.0" in line
