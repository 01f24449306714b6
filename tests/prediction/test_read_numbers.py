"""Images of whole numbers in, numbers and calibrated probabilities out, by a run of the second task."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import NUMBERS, Command, run_in

from housenumbers.data.load import load_test
from housenumbers.data.number_image import read_number_image, scaled_view
from housenumbers.evaluation.trained_model import load_trained_model
from housenumbers.metrics.numbers import as_strings, number_confidence, pooled_numbers, read_numbers
from housenumbers.prediction import read_numbers as read_numbers_module
from housenumbers.prediction.read_numbers import Reading, format_readings, read_images

FURTHER_SCALES = 0.7, 0.8, 1.12, 1.25


@pytest.fixture(scope="module")
def plates(numbers_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four test images of the run as files, one of them larger and one wider than the canvas."""
    folder = tmp_path_factory.mktemp("plates")
    images = load_test(load_trained_model(numbers_run).config.data).images[:4].permute(0, 2, 3, 1).numpy()
    pictures = [Image.fromarray(image) for image in images]
    pictures[1] = pictures[1].resize((240, 96))
    pictures[2] = Image.fromarray(np.concatenate([images[2], images[3]], axis=1))
    for number, picture in enumerate(pictures):
        picture.save(folder / f"{number}.png")
    return folder


def readings(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def test_a_run_is_scored_by_whole_numbers(numbers_run: Path) -> None:
    record = json.loads((numbers_run / "run.json").read_text())
    assert record["test"]["n"] == 20
    done = run_in(numbers_run.parents[1], "evaluate", f"run={numbers_run}")
    assert done.returncode == 0, done.stderr
    scores = json.loads((numbers_run / "evaluation_test.json").read_text())
    assert scores["accuracy"] == record["test"]["accuracy"]
    assert len(scores["accuracy_by_length"]) == 7
    assert "digit error rate" in done.stdout


def test_its_page_shows_true_and_read_numbers(numbers_run: Path) -> None:
    done = run_in(numbers_run.parents[1], "report", f"run={numbers_run}", "split=test")
    assert done.returncode == 0, done.stderr
    text = (numbers_run / "report.html").read_text()
    assert "Digit error rate" in text
    assert "Labels that may be wrong" not in text
    assert "of one reading at one scale" in text
    assert (numbers_run / "figures" / "predictions_test.png").exists()


def test_read_numbers_are_the_model_s_own_with_calibrated_probabilities(
    numbers_run: Path, plates: Path, command: Command
) -> None:
    done = command("read", f"run={numbers_run}", f"images={plates}", "format=jsonl", "min_confidence=0")
    assert done.returncode == 0, done.stderr
    trained = load_trained_model(numbers_run)
    for number, found in enumerate(readings(done.stdout)):
        image = read_number_image(plates / f"{number}.png", trained.config.data.width)
        assert image.shape[2] == (160 if number == 2 else 80)
        once = trained.logits(image[None], single_view=True)
        read, sure = read_numbers(once), number_confidence(once, read_numbers(once))
        if sure <= 0.85:
            scales = [scaled_view(image[None], scale) for scale in FURTHER_SCALES]
            if trained.config.tta_invert:
                scales[::2] = [255 - view for view in scales[::2]]
            once_each = [trained.logits(view, single_view=True) for view in scales]
            read, sure, _ = pooled_numbers([trained.logits(image[None]), *once_each])
        (text,) = as_strings(read)
        assert found["file"].endswith(f"{number}.png")
        assert found["number"] == text
        if text:
            assert found["confidence"] == pytest.approx(sure.item(), abs=1e-4)
        else:
            assert found["confidence"] <= sure
        assert len(found["digits"]) == len(text)
    assert f"temperature {trained.temperature:.3f}" in done.stderr


def test_an_image_is_read_again_at_other_scales_only_where_its_number_is_not_sure(
    numbers_run: Path, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load_trained_model(numbers_run)
    images = [read_number_image(plates / "0.png", 80)] * 3
    calls = []
    trained.model.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0].shape))
    monkeypatch.setattr(read_numbers_module, "_SURE", -1.0)
    read_images(trained, images)
    assert calls == [(3, 3, 32, 80)]
    monkeypatch.setattr(read_numbers_module, "_SURE", 1.0)
    calls.clear()
    read_images(trained, images)
    views = 2 if trained.config.tta_invert else 1
    assert [shape[3] for shape in calls] == [80, *[80] * views, 80, 80, 96, 112]


def test_an_image_is_read_the_same_alone_and_among_others(numbers_run: Path, plates: Path) -> None:
    trained = load_trained_model(numbers_run)
    images = [read_number_image(file, 80) for file in sorted(plates.iterdir())]
    together = read_images(trained, images)
    for image, reading in zip(images, together, strict=True):
        (alone,) = read_images(trained, [image])
        assert alone.number == reading.number
        assert alone.confidence == pytest.approx(reading.confidence, abs=1e-4)


def test_a_dark_image_is_read_again_whichever_others_there_are(
    numbers_run: Path, plates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = load_trained_model(numbers_run)
    monkeypatch.setattr(read_numbers_module, "_SURE", 1.0)
    image = read_number_image(plates / "0.png", 80)
    dark = image // 128  # zeros and ones
    (alone,) = read_images(trained, [dark])
    among_others = read_images(trained, [image, dark])[1]
    assert alone.number == among_others.number
    assert alone.confidence == pytest.approx(among_others.confidence, abs=1e-4)


def test_images_without_a_number_are_empty_with_a_low_confidence(tmp_path: Path, command: Command) -> None:
    generator = np.random.default_rng(0)
    for place in range(8):
        Image.fromarray(np.full((40, 90, 3), 30 * place, np.uint8)).save(tmp_path / f"plain_{place}.png")
        Image.fromarray(generator.integers(0, 256, (40, 90, 3), np.uint8)).save(tmp_path / f"noise_{place}.png")
    done = command("read", f"images={tmp_path}", "format=jsonl")
    assert done.returncode == 0, done.stderr
    found = readings(done.stdout)
    assert [(row["number"], row["digits"]) for row in found] == [("", [])] * 16
    assert max(row["confidence"] for row in found) < 0.5
    always = command("read", f"images={tmp_path}", "format=jsonl", "min_confidence=0")
    assert [row["confidence"] for row in readings(always.stdout)] == [row["confidence"] for row in found]


def test_a_number_that_is_not_sure_enough_is_left_empty(numbers_run: Path, plates: Path, command: Command) -> None:
    done = command("read", f"run={numbers_run}", f"images={plates}", "format=jsonl", "min_confidence=1")
    assert [(row["number"], row["digits"]) for row in readings(done.stdout)] == [("", [])] * 4
    refused = command("read", f"run={numbers_run}", f"images={plates}", "min_confidence=2")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: min_confidence=2.0: must be ")


def test_an_unreadable_file_is_told_and_skipped(
    numbers_run: Path, plates: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "broken.png").write_bytes((plates / "0.png").read_bytes()[:300])
    done = command("read", f"run={numbers_run}", f"images=[broken.png,{plates / '0.png'}]", "format=csv")
    assert done.returncode == 1
    assert "error: broken.png: cannot be read: " in done.stderr
    assert len(done.stdout.splitlines()) == 2


def test_each_task_has_its_command(numbers_run: Path, plates: Path, finished: Path, command: Command) -> None:
    digits = command("read", f"run={finished}", f"images={plates}")
    assert digits.returncode == 2
    assert "is a model of single digits" in digits.stderr
    numbers = command("predict", f"run={numbers_run}", f"images={plates}")
    assert numbers.returncode == 2
    assert "is a model of whole numbers" in numbers.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=synthetic_numbers", "data.size=80"], "data=synthetic_numbers: needs model=number_reader"),
        (["data=digits", "model=number_reader"], "data=digits: needs another model"),
        ([*NUMBERS, "augment.mixup=1"], "augment.mixup=1.0: must be 0"),
        ([*NUMBERS, "data.width=50"], "data.width=50: must be a multiple of 4"),
        (["data=digits", "data.width=80"], "data.width=80: must be left out"),
        ([*NUMBERS, "model.context=4"], "model.context=4: must be odd"),
    ],
)
def test_what_does_not_fit_whole_numbers_is_one_line(words: list[str], said: str, command: Command) -> None:
    done = command("train", *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {said}"), done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_goes_on_to_the_bits_of_one_that_was_longer(numbers_run: Path, tmp_path: Path, command: Command) -> None:
    shutil.copytree(numbers_run, tmp_path / "numbers")
    resumed = command("train", "resume=numbers", "epochs=2")
    assert resumed.returncode == 0, resumed.stderr
    longer = command("train", *NUMBERS[:-1], "hydra.run.dir=longer", "epochs=2")
    assert longer.returncode == 0, longer.stderr
    one, other = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("numbers", "longer"))
    assert one["weights_sha256"] == other["weights_sha256"]


READINGS = [
    Reading("a.png", "12", 0.9, [0.95, 0.96]),
    Reading("b.png", "", 0.1, []),
    Reading("c.png", "1234567", 0.5, [0.9] * 7),
]


def test_csv_has_a_column_for_each_digit() -> None:
    table = list(csv.reader(io.StringIO("\n".join(format_readings(READINGS, "csv")))))
    assert table[0] == ["file", "number", "confidence", *(f"digit{place}" for place in range(1, 7))]
    assert table[1] == ["a.png", "12", "0.9", "0.95", "0.96", "", "", "", ""]
    assert table[2] == ["b.png", "", "0.1", *[""] * 6]
    assert [len(row) for row in table] == [9] * 4


def test_a_table_is_for_people() -> None:
    lines = list(format_readings(READINGS, "table"))
    assert lines[1].split() == ["12", "90.0%", "95%", "96%", "a.png"]
    assert lines[2].split() == ["-", "10.0%", "b.png"]
    assert lines[1].index("a.png") == lines[2].index("b.png")
