"""Image files in, labels and calibrated probabilities out."""

import csv
import io
import json
import os
import re
import runpy
import shutil
import subprocess
import termios
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import ROOT, TINY, Command, command_line, environment, run_in

from housenumbers.data.digits import read_digits
from housenumbers.evaluation.few_views import StoppingRule
from housenumbers.evaluation.trained_model import load_trained_model
from housenumbers.metrics.views import predict_logits
from housenumbers.prediction.predict_files import csv_line
from housenumbers.runtime.errors import UserError
from housenumbers.training.reproducibility import uses_bfloat16


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve test digits as files, in two folders."""
    images, _ = read_digits(None, "test")  # type: ignore[arg-type]
    home = tmp_path / "images"
    (home / "more").mkdir(parents=True)
    for number in range(12):
        folder = home / "more" if number >= 8 else home
        Image.fromarray(images.images[number].permute(1, 2, 0).numpy()).save(folder / f"{number:02d}, ü.png")
    (home / ".DS_Store").write_text("the system's own")
    return home


def in_order(images: Path) -> list[Path]:
    return sorted(path for path in images.rglob("*.png"))


def rows(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def test_probabilities_are_the_models_own_divided_by_its_temperature(
    finished: Path, images: Path, command: Command
) -> None:
    done = command("predict", f"run={finished}", f"images={images}", "format=jsonl")
    assert done.returncode == 0, done.stderr
    trained = load_trained_model(finished)
    crops = read_digits(trained.config.data, "test")[0].images[:12]
    logits, _ = predict_logits(trained.model, [(crops, torch.zeros(12))])
    expected = (logits / trained.content["calibration"]["temperature"]).softmax(dim=1)
    found = rows(done.stdout)
    by_name = {Path(row["file"]).name[:2]: row for row in found}
    in_their_order = [by_name[f"{number:02d}"] for number in range(12)]
    assert torch.allclose(torch.tensor([row["probabilities"] for row in in_their_order]), expected, atol=1e-5)
    assert [row["label"] for row in in_their_order] == logits.argmax(dim=1).tolist()
    assert all(row["confidence"] == row["probabilities"][row["label"]] for row in found)
    assert [row["file"] for row in found] == list(map(str, in_order(images)))
    assert f"temperature {trained.temperature:.3f}" in done.stderr


def test_precision_is_told_and_close(finished: Path, images: Path, command: Command) -> None:
    exact, rounded = (
        command(
            "predict", f"run={finished}", f"images={images}", "format=jsonl", "device=cpu", f"precision={precision}"
        )
        for precision in ("float32", "bfloat16")
    )
    assert exact.returncode == rounded.returncode == 0, rounded.stderr
    pairs = list(zip(rows(exact.stdout), rows(rounded.stdout), strict=True))
    assert all(one["probabilities"] == pytest.approx(other["probabilities"], abs=0.1) for one, other in pairs)
    if uses_bfloat16(True, torch.device("cpu")):
        assert exact.stdout != rounded.stdout
    else:
        assert exact.stdout == rounded.stdout
        assert "precision=bfloat16: cpu has no instructions for it: float32" in rounded.stderr
    wrong = command("predict", f"images={images}", "precision=half")
    assert wrong.stderr == "error: precision=half: must be float32 or bfloat16\n"


def test_a_run_with_several_views_can_be_asked_for_one_or_all(finished: Path, images: Path, tmp_path: Path) -> None:
    run = tmp_path / "alone.pt"
    whole = torch.load(finished / "checkpoints/best.pt", weights_only=True)
    torch.save({**whole, "config": {**whole["config"], "tta": 2, "tta_invert": True}}, run)
    words = (f"images={images}", "format=jsonl")
    one_view = ("tta=0", "tta_invert=false")
    rule = asdict(StoppingRule(2, True, 0.0, [1.0, 1.0, 1.0], 99, "validation"))  # which takes every first answer
    first = tmp_path / "first.pt"
    torch.save({**torch.load(run, weights_only=True), "stopping_rule": rule}, first)
    asked = ((run, ()), (run, one_view), (finished, ()), (first, ()), (first, ("views=all",)))
    several, one, plain, stopped, all_views = (
        rows(run_in(tmp_path, "predict", f"run={where}", *words, *more).stdout) for where, more in asked
    )
    assert one == plain == stopped
    assert several == all_views != plain


def test_csv_and_table_say_the_same(finished: Path, images: Path, command: Command) -> None:
    words = (f"run={finished}/checkpoints/best.pt", f"images={images}/**/*.png")
    plain = rows(command("predict", *words, "format=jsonl").stdout)
    as_csv = list(csv.DictReader(io.StringIO(command("predict", *words, "format=csv").stdout)))
    as_table = command("predict", *words).stdout.splitlines()
    assert len(plain) == len(as_csv) == len(as_table) - 1 == 12
    for row, fields, line in zip(plain, as_csv, as_table[1:], strict=True):
        assert fields["file"] == row["file"]
        assert [float(fields[f"p{label}"]) for label in range(10)] == row["probabilities"]
        assert line.split()[0] == fields["label"] == str(row["label"])
        assert line.endswith(row["file"])


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["images=[images/more,images/00, ü.png]"], None),  # a comma in a name needs a word of its own
        (["images=[images/more]", "images=images/00, ü.png"], 5),
        (["images=images/*"], 12),
        (["images=images/0?*"], 8),
    ],
)
def test_files_folders_and_patterns(
    finished: Path, images: Path, command: Command, words: list[str], count: int | None
) -> None:
    assert images.exists()
    done = command("predict", f"run={finished}", *words, "format=jsonl")
    assert done.returncode == (2 if count is None else 0), done.stderr
    assert len(rows(done.stdout)) == (count or 0)


def test_paths_come_from_standard_input_and_names_may_be_any_bytes(finished: Path, images: Path) -> None:
    odd = bytes(images / "more") + b"/\xff.png"
    shutil.copy(in_order(images)[0], odd)
    done = subprocess.run(
        command_line("predict", f"run={finished}", "images=-", "format=csv"),
        input=odd + b"\n\n" + bytes(images / "00, ü.png") + b"\nnowhere.png\n",
        env=environment(), capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith(odd + b",")
    assert len(lines) == 3
    assert b"nowhere.png: cannot be read" in done.stderr


def test_standard_input_without_a_path_is_an_error(finished: Path) -> None:
    words = command_line("predict", f"run={finished}", "images=-", "format=jsonl")
    done = subprocess.run(words, input=b"\n", env=environment(), capture_output=True, timeout=300)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == b"error: images=-: standard input names no files"


def test_a_terminal_shows_a_bar_while_the_lines_go_to_a_file(finished: Path, images: Path, tmp_path: Path) -> None:
    terminal, screen = os.openpty()
    termios.tcsetwinsize(screen, (24, 80))
    with (tmp_path / "labels.csv").open("w") as file:
        words = [f"run={finished}", f"images={images}", "format=csv"]
        done = subprocess.run(command_line("predict", *words), stdout=file, stderr=screen, env=environment())
    os.close(screen)
    seen = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert done.returncode == 0, seen
    assert "12/12" in seen
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 13


def test_unreadable_files_are_told_and_skipped(finished: Path, images: Path, command: Command) -> None:
    (images / "03 empty.png").touch()
    (images / "05 torn.png").write_bytes(in_order(images)[0].read_bytes()[:100])
    os.mkfifo(images / "pipe.png")  # nobody writes into it: it must not be waited for
    done = command("predict", f"run={finished}", f"images=[{images},{images}/pipe.png]", "format=jsonl")
    assert done.returncode == 1
    assert len(rows(done.stdout)) == 12
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [Path(line.split(": ")[1]).name for line in told] == ["03 empty.png", "05 torn.png", "pipe.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "images=FILES"),
        (["images=nowhere.png"], "nowhere.png"),
        (["images=nowhere/*.png"], "nowhere/*.png"),
        (["images=[]"], "images"),
        (["images="], "images=: must name files"),
        (["images=.", "format=xml"], "format=xml"),
        (["images=[-,.]"], "standard input"),
        (["images=.", "run=nowhere"], "run=nowhere"),
        (["images=.", "run=last"], "train one"),
        (["images=.", "data.root=x"], "data.root"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, command: Command, words: list[str], said: str) -> None:
    (tmp_path / "file.png").touch()
    done = command("predict", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_without_validation_the_temperature_is_1_and_it_says_so(tmp_path: Path, images: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    views = ("tta=1", "tta_invert=true")
    assert run_in(home, "train", *TINY, "epochs=1", "data.val_fraction=0", *views).returncode == 0
    done = run_in(home, "predict", "run=last", f"images={images}")
    assert done.returncode == 0, done.stderr
    assert "not calibrated: there is no validation part (data.val_fraction=0)" in done.stderr
    assert re.search(r"10 views of each image: stops at a margin of \d+\.\d\d \(\d+ training images\)", done.stderr)
    refused = run_in(home, "evaluate", "split=validation", "calibrate=true")
    assert refused.returncode == 2
    assert "no validation part" in refused.stderr


def test_calibrating_on_demand_gives_what_the_end_of_the_run_gave(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    file = run / "checkpoints/best.pt"
    whole = torch.load(file, weights_only=True)
    assert json.loads((run / "run.json").read_text())["calibration"] == whole["calibration"]
    calibration = whole.pop("calibration")
    torch.save(whole, file)
    assert load_trained_model(run).temperature == 1
    done = run_in(tmp_path, "evaluate", f"run={run}", "split=validation", "calibrate=true")
    assert done.returncode == 0, done.stderr
    assert f"temperature {calibration['temperature']:.3f}" in done.stdout
    assert torch.load(file, weights_only=True)["calibration"] == calibration
    assert run_in(tmp_path, "evaluate", f"run={run}", "calibrate=true").returncode == 2


def test_one_image_imports_only_what_its_answer_needs(finished: Path, images: Path, tmp_path: Path) -> None:
    program, *script = command_line("predict", f"run={finished}", f"images={images / '03, ü.png'}")
    listing = [program, "-X", "importtime", *script]
    done = subprocess.run(listing, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "torch" in imported
    others = {"matplotlib", "optuna", "pandas", "plotly", "scipy", "sklearn", "sympy", "tensorboard", "torchvision"}
    assert imported & others == set()
    assert imported & {"torch._dynamo", "torch._inductor", "torch.utils.tensorboard"} == set()


def test_a_few_images_are_labeled_by_one_thread(
    finished: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overrides(*words: str) -> list[str]:
        return overrides_of_the_model(finished, tmp_path, monkeypatch, *words)

    one, folder = f"images={images / '03, ü.png'}", f"images={images}"
    assert overrides(one) == ["threads=1"]
    assert overrides(one, "threads=2") == ["threads=2"]
    assert overrides(folder) == []


def overrides_of_the_model(run: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[str]:
    """The keys that `predict.py` replaces in the run's configuration."""
    given: list[str] = []

    def load(_: Path, overrides: Sequence[str], *others: object) -> None:
        assert others == (False,)
        given.extend(overrides)
        raise UserError("enough")

    with monkeypatch.context() as patched:
        patched.chdir(folder)
        patched.setattr("housenumbers.evaluation.trained_model.load_trained_model", load)
        patched.setattr("sys.argv", ["predict.py", f"run={run}", *words])
        with pytest.raises(SystemExit):
            runpy.run_path(str(ROOT / "src/predict.py"))["main"]()
    return given


@pytest.mark.parametrize("name", ["a\nb.png", "a\rb.png", 'a "b", c.png', "plain.png"])
def test_a_line_of_csv_is_one_record_whatever_the_file_is_called(name: str) -> None:
    assert list(csv.reader(io.StringIO(csv_line([name, 1]), newline=""))) == [[name, "1"]]
