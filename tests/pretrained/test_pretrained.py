"""The weights that come with the code: what they hold, their cards, and what commands do with them."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import ROOT, Command, composed, environment

from housenumbers import pretrained
from housenumbers.config.validate import load_saved_config
from housenumbers.config.values import differing_keys, flatten
from housenumbers.evaluation.score import recalibrate
from housenumbers.evaluation.trained_model import load_trained_model
from housenumbers.pretrained import DIGITS, MODELS, NUMBERS, Pretrained
from housenumbers.runtime.errors import UserError

NAMES = [DIGITS, NUMBERS]
TOLD = {
    DIGITS: "run=pretrained_digits: single digits, a model that comes with the code, trained on rendered images alone; "
    "run=last takes your newest run",
    NUMBERS: "run=pretrained_numbers: whole numbers, a model that comes with the code, trained on rendered images "
    "alone; run=last takes your newest run",
}


def card(name: str) -> str:
    return MODELS[name].file.with_suffix(".md").read_text()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "photo.png"
    Image.effect_noise((50, 40), 90).save(file)
    return file


def test_both_are_small() -> None:
    assert sum(model.file.stat().st_size for model in MODELS.values()) < 2e6


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_a_checkpoint_of_rendered_images_alone_with_all_that_predictions_need(name: str) -> None:
    trained = load_trained_model(MODELS[name].file)
    assert trained.config.data.has_numbers == (name == NUMBERS)
    assert trained.config.data.name == ("synthetic_numbers" if name == NUMBERS else "synthetic")
    assert not flatten(trained.content["config"])["model.pretrained"]
    assert trained.calibration is not None
    assert trained.calibration["n"] >= 500  # of the run's own part, which is rendered as all its data are
    assert trained.stopping_rule is None or trained.stopping_rule.part == "validation"
    assert {tensor.dtype for tensor in trained.model.state_dict().values()} <= {torch.float32, torch.int64}
    large = {tensor.dtype for tensor in trained.content["model"].values() if tensor.ndim > 1}
    assert large == {torch.float16}
    saved = flatten(trained.content["config"])
    assert [saved[key] for key in ("device", "threads", "data.root", "data.cache")] == ["auto", None, "data", None]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_of_the_recipe_that_its_card_names(name: str) -> None:
    (experiment,) = set(re.findall(r"python src/train.py experiment=(\w+)`", card(name)))
    assert experiment == name
    config = load_saved_config(torch.load(MODELS[name].file, weights_only=True)["config"], name)
    assert differing_keys(config, composed(f"experiment={experiment}")) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_of_its_file_and_complete(name: str) -> None:
    file, text = MODELS[name].file, card(name)
    assert f"| SHA-256 | `{pretrained.sha256_of(file)}` |" in text
    assert f"| file | `{file.name}`, {file.stat().st_size:,} bytes |" in text
    assert f"| parameters | {load_trained_model(file).parameters:,} |" in text
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (pretrained.FOLDER / link).exists(), link
    assert re.findall(r"TODO\S*", text) == []


def test_the_table_of_hashes_is_as_sha256sum_writes_it() -> None:
    if shutil.which("sha256sum") is None:
        pytest.skip("needs sha256sum")
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=pretrained.FOLDER, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_not_the_one_of_the_table_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "digits.pt"
    monkeypatch.setitem(MODELS, DIGITS, Pretrained(copy, "single digits"))
    monkeypatch.setattr(pretrained, "SUMS", tmp_path / "SHA256SUMS")
    with pytest.raises(UserError, match=r"digits\.pt: is missing: restore it"):
        load_trained_model(copy)
    shutil.copy(pretrained.FOLDER / "digits.pt", copy)
    with pytest.raises(UserError, match=r"SHA256SUMS: is missing: restore it"):
        load_trained_model(copy)
    pretrained.record_sha256(DIGITS)
    assert load_trained_model(copy).parameters > 0
    content = torch.load(copy, weights_only=True)
    content["calibration"]["temperature"] = 1.0  # a sound checkpoint, but another one
    torch.save(content, copy)
    with pytest.raises(UserError, match=r"digits\.pt: damaged: its SHA-256 is not the one in SHA256SUMS: restore it"):
        load_trained_model(copy)
    (tmp_path / "SHA256SUMS").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"SHA256SUMS: damaged: restore it"):
        load_trained_model(copy)


def test_a_damaged_file_is_one_line(tmp_path: Path, image: Path) -> None:
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / "checkout" / name)
    with (tmp_path / "checkout/src/housenumbers/pretrained/digits.pt").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    command = [sys.executable, "checkout/src/predict.py", f"images={image}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert re.match(r"error: .*pretrained/digits\.pt: damaged: its SHA-256 is not the one in SHA256SUMS: ", line)


@pytest.mark.parametrize(
    ("verb", "name", "key"),
    [("predict", DIGITS, "probabilities"), ("read", NUMBERS, "digits")],
    ids=["predict", "read"],
)
def test_image_commands_take_them_without_a_run_and_say_so(
    verb: str, name: str, key: str, command: Command, image: Path
) -> None:
    done, named, by_file = (
        command(verb, f"images={image}", "format=jsonl", *words)
        for words in ([], [f"run={name}"], [f"run={MODELS[name].file}"])
    )
    assert done.returncode == 0, done.stderr
    assert key in json.loads(done.stdout)
    assert done.stdout == named.stdout == by_file.stdout
    assert done.stderr == named.stderr
    first, *others = done.stderr.splitlines()
    assert first == TOLD[name]
    assert others == by_file.stderr.splitlines()
    refused = command(verb, f"images={image}", f"run={DIGITS if name == NUMBERS else NUMBERS}")
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1


def test_a_run_of_ones_own_is_taken_as_before(command: Command, finished: Path, tmp_path: Path, image: Path) -> None:
    shutil.copytree(finished, tmp_path / "outputs/finished")
    done = command("predict", f"images={image}", "run=last")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("run=last: outputs/finished (resnet31 on digits): the only completed run")
    assert command("predict", f"images={image}").stderr.startswith(TOLD[DIGITS])


def test_what_is_written_about_them_goes_below_outputs(command: Command, tmp_path: Path) -> None:
    before = {file: file.stat().st_mtime_ns for file in pretrained.FOLDER.iterdir() if file.is_file()}
    evaluated = command("evaluate", f"run={DIGITS}", "data=digits")
    assert evaluated.returncode == 0, evaluated.stderr
    assert TOLD[DIGITS] in evaluated.stderr.splitlines()
    exported = command("export", "format=torch")
    assert exported.returncode == 0, exported.stderr
    assert TOLD[DIGITS] in exported.stderr.splitlines()
    assert "checked on 64 test crops" in exported.stdout
    written = sorted(file.name for file in (tmp_path / "outputs/pretrained_digits").iterdir())
    assert written == ["evaluation_test_on_digits.json", "model.pt2"]
    assert {file: file.stat().st_mtime_ns for file in pretrained.FOLDER.iterdir() if file.is_file()} == before


def test_a_reader_is_scored_on_other_numbers_and_refuses_data_of_single_digits(command: Command) -> None:
    scored = command("evaluate", f"run={NUMBERS}", "data=synthetic_numbers", "data.size=80")
    assert scored.returncode == 0, scored.stderr
    assert "digit error rate" in scored.stdout
    for name, data in ((NUMBERS, "data=digits"), (DIGITS, "data=synthetic_numbers")):
        refused = command("evaluate", f"run={name}", data, *(["data.size=80"] if name == DIGITS else []))
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"error: {data}: has ")
        assert line.endswith(": take other data")


def test_they_are_not_changed_and_have_no_page(command: Command) -> None:
    with pytest.raises(
        UserError, match=r"^calibrate=true: pretrained_digits is calibrated already, and is not changed"
    ):
        recalibrate(MODELS[DIGITS].file, [])
    done = command("report", f"run={NUMBERS}")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("not a run's folder: it has no run.json; python src/evaluate.py scores a checkpoint alone")


@pytest.mark.parametrize("verb", ["predict", "read", "demo", "export"])
def test_the_help_names_them_and_needs_no_torch(verb: str, tmp_path: Path) -> None:
    code = f"""import runpy, sys
sys.argv = ["{verb}.py", "--help"]
try:
    runpy.run_path({str(ROOT / "src" / f"{verb}.py")!r}, run_name="__main__")
finally:
    assert "torch" not in sys.modules"""
    env = environment(PYTHONPATH=str(ROOT / "src"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (NUMBERS if verb in ("read", "demo") else DIGITS) in done.stdout


def test_make_labels_images_without_a_training(tmp_path: Path, image: Path) -> None:
    """Where the environment is there; `make` would install it."""
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / "pyproject.toml").touch()
    python = tmp_path / "venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (tmp_path / "venv/.installed").touch()

    def make(target: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "-f", str(ROOT / "Makefile"), target, "VENV=venv", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)

    photo = shutil.copy(image, tmp_path / "it's $HOME.png")
    for target, name in (("predict", DIGITS), ("read", NUMBERS)):
        done = make(target, f"IMAGES={str(photo).replace('$', '$$')}")  # make replaces $$ by $
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1].endswith(photo.name)
        assert done.stderr.startswith(TOLD[name])
        unnamed = make(target)
        assert unnamed.returncode == 2
        line = f"error: IMAGES: must be given: make {target} IMAGES=photo.png, or a folder"
        assert unnamed.stderr.splitlines()[0] == line
    asked_for = make("predict", f"IMAGES={image}", "RUN=nowhere")
    assert "run=nowhere: no such folder" in asked_for.stderr


def test_make_installs_what_each_target_needs_first(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    for target, installed in (("demo", "'.[demo]'"), ("predict", "."), ("read", ".")):
        words = ["make", "--dry-run", "-f", str(ROOT / "Makefile"), target, "IMAGES=x.png"]
        done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        *before, last = done.stdout.splitlines()
        assert last.split()[:2] == [".venv/bin/python", f"src/{target}.py"]
        assert f".venv/bin/python -m pip install --quiet --editable {installed}" in before


def test_both_are_in_the_wheel(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = {f"housenumbers/pretrained/{name}{end}" for name in ("digits", "numbers") for end in (".pt", ".md")}
    assert files | {"housenumbers/pretrained/SHA256SUMS"} <= inside
