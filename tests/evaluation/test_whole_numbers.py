"""Whole numbers right: all digits of a photo, where it is known which photo a crop is from."""

import json
import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from networks import always, as_if_it_had_learnt
from support import REAL_SVHN, Command, composed

from housenumbers.config.sections import DataConfig
from housenumbers.data import load
from housenumbers.data.photos import Boxes, boxes_of, digits_of_photos
from housenumbers.evaluation import score
from housenumbers.evaluation.trained_model import load_trained_model
from housenumbers.evaluation.whole_numbers import photo_correctness
from housenumbers.reports.comparison_page import write_comparison_page
from housenumbers.reports.run_page import write_run_page

needs_real = pytest.mark.skipif(not REAL_SVHN.exists(), reason="the real crops are not beside this checkout")


def sizes(first_photo: int, count: int) -> list[int]:
    return digits_of_photos()[first_photo : first_photo + count].tolist()


def test_a_number_is_right_if_all_its_digits_are() -> None:
    photos = torch.arange(1, 5).repeat_interleave(torch.tensor(sizes(1, 4)))
    right = torch.ones(len(photos), dtype=torch.bool)
    right[(photos == 3).nonzero().view(-1)[0]] = False
    result = photo_correctness(right, photos)
    assert result.right.tolist() == [True, True, False, True]
    assert result.scores() == {"accuracy": 0.75, "right": 3, "n": 4, "partial": 0}


def test_a_photo_that_is_partly_elsewhere_is_left_out() -> None:
    photos = torch.arange(1, 5).repeat_interleave(torch.tensor(sizes(1, 4)))
    order = torch.randperm(len(photos) - 1, generator=torch.Generator().manual_seed(0))  # without the last digit
    result = photo_correctness(torch.ones(len(order), dtype=torch.bool), photos[order])
    assert (result.right.tolist(), result.partial) == ([True] * 3, 1)
    nothing = photo_correctness(torch.ones(1, dtype=torch.bool), photos[-1:])
    assert nothing.scores() == {"accuracy": None, "right": 0, "n": 0, "partial": 1}


def test_the_cut_photo_of_svhn_6k_is_left_out() -> None:
    config = composed("data=svhn_6k").data
    for part, whole, partial in (("train", 2522, 0), ("extra", 498, 1), ("test", 499, 0)):
        boxes = boxes_of(config, part)
        assert boxes is not None
        result = photo_correctness(torch.ones(len(boxes.photo), dtype=torch.bool), boxes.photo)
        assert (len(result.right), result.partial) == (whole, partial)


@pytest.fixture
def photographed(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two runs that see a 0 and a 1 in every image, whose 360 test images pass for crops of SVHN's first photos."""

    def first_boxes(_: DataConfig, part: str) -> Boxes | None:
        boxes = boxes_of(composed("data=svhn_6k").data, "extra")
        assert boxes is not None
        return boxes.subset(slice(360)) if part == "test" else None

    monkeypatch.setattr(load, "boxes_of", first_boxes)
    shutil.copytree(finished.parents[1], tmp_path / "outputs")
    runs = []
    for label, name in ((0, "zero"), (1, "one")):
        runs.append(tmp_path / "outputs" / name)
        words = (f"name={name}", f"seed={label}", "data.split_seed=42")
        as_if_it_had_learnt(finished, runs[-1], always(label, finished), *words)
    return runs


def naive(run: Path) -> tuple[int, int, int]:
    """Numbers right, whole numbers, and partial ones, one photo after the other."""
    part = score.load_part(load_trained_model(run, []), "test")
    assert part.photos is not None
    logits, labels = load_trained_model(run, []).predict(part.data)
    of_photo: dict[int, list[bool]] = defaultdict(list)
    for photo, right in zip(part.photos.tolist(), (logits.argmax(dim=1) == labels).tolist(), strict=True):
        of_photo[photo].append(right)
    whole = {photo: all(right) for photo, right in of_photo.items() if len(right) == digits_of_photos()[photo]}
    return sum(whole.values()), len(whole), len(of_photo) - len(whole)


def test_scores_and_pages_tell_them(photographed: list[Path]) -> None:
    scores, file = score.evaluate_run(photographed[1], "test", [])
    right, whole, partial = naive(photographed[1])
    numbers = scores["numbers"]
    assert (numbers["right"], numbers["n"], numbers["partial"]) == (right, whole, partial)
    assert numbers["interval"][0] < right / whole < numbers["interval"][1]
    assert file is not None
    assert json.loads(file.read_text())["numbers"] == numbers
    text = " ".join(re.sub(r"<[^>]*>", "", write_run_page(photographed[1], "test").read_text()).split())
    assert f"Of {whole} whole numbers, the digits of a photo, {100 * right / whole:.2f} % are right" in text
    assert ("left out." in text) == (partial > 0)


def test_the_comparison_tells_whether_they_differ(photographed: list[Path], tmp_path: Path) -> None:
    page = write_comparison_page(photographed, "test", tmp_path / "page").read_text()
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    (first, whole, _), (second, _, _) = map(naive, photographed)
    assert f"Numbers right: of {whole} photos those with every digit right" in text
    assert f"{100 * first / whole:.2f} %" in text
    difference = f"{100 * (first - second) / whole:+.2f} points"
    assert difference in text.partition("The same test of whole numbers")[2]


def test_without_photos_nothing_is_said_of_them(finished: Path, tmp_path: Path) -> None:
    scores, _ = score.evaluate_run(shutil.copytree(finished, tmp_path / "run"), "test", [])
    assert "numbers" not in scores
    assert "whole numbers" not in write_run_page(tmp_path / "run").read_text()
    assert "numbers" not in json.loads((finished / "run.json").read_text())["test"]


@needs_real
def test_a_run_on_svhn_6k_records_and_prints_them(command: Command, tmp_path: Path) -> None:
    small = ("data.reduce=0.2", "model.width=4", "model.blocks=[1,1,1]", "epochs=1", "threads=1")
    words = ("data=svhn_6k", f"data.root={REAL_SVHN}", "data.batch_size=64", *small, "hydra.run.dir=run")
    done = command("train", *words)
    assert done.returncode == 0, done.stderr
    assert "of 499 whole numbers" in done.stdout + done.stderr
    recorded = json.loads((tmp_path / "run/run.json").read_text())["test"]["numbers"]
    assert (recorded["n"], recorded["partial"]) == (499, 0)
    told = command("evaluate", "run=run").stdout
    assert f"numbers right {recorded['accuracy']:.2%} of 499 (95 % interval " in told
    validation = command("evaluate", "run=run", "split=validation").stdout
    assert re.search(r"numbers right [\d.]+% of \d+ \(95 % interval .*; [\d,]+ with digits outside", validation)
