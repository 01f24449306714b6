"""The page that explains a data set, and the facts on it."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from support import Command, rendered, write_mat

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.reports import data_figures
from housenumbers.reports.data_statistics import (
    border_difference,
    class_statistics,
    find_duplicates,
    share_with_neighbours,
)


def random_images(count: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), np.uint8))


def test_class_statistics_are_those_of_numpy() -> None:
    data = LabeledImages(random_images(2300), torch.arange(2300) % 9)  # more than a chunk, and no 9
    mean, deviation = class_statistics(data)
    own = data.images[data.labels == 4].numpy().astype(float)
    np.testing.assert_allclose(mean[4], own.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(deviation[4], own.std(axis=0), atol=1e-3)
    assert mean[9].abs().max() == 0


def test_duplicates_are_found_within_and_across_parts() -> None:
    train, test = random_images(1500), random_images(60, seed=1)
    train[1200] = train[3]  # exact, in another chunk
    train[700] = (train[5].float() * 0.8 + 20).round().to(torch.uint8)  # the same in another light: near
    test[7] = train[9]
    parts = {"train": LabeledImages(train, torch.zeros(1500)), "test": LabeledImages(test, torch.zeros(60))}
    found, pairs = find_duplicates(parts, 4)
    counts = {each.parts: (each.exact, each.near) for each in found}
    assert counts == {("train", "train"): (2, 4), ("train", "test"): (1, 1), ("test", "test"): (0, 0)}
    assert {frozenset(pair.indices) for pair in pairs[:3]} == {
        frozenset({3, 1200}),
        frozenset({5, 700}),
        frozenset({9, 7}),
    }
    assert len(pairs) == 4


def test_images_of_one_shade_are_no_near_duplicates() -> None:
    flat = torch.stack([torch.full((3, 32, 32), shade, dtype=torch.uint8) for shade in (10, 200, 10)])
    (found,), _ = find_duplicates({"train": LabeledImages(flat, torch.zeros(3))}, 2)
    assert (found.exact, found.near) == (2, 0)


def test_neighbours_that_share_a_wall_are_seen() -> None:
    walls = torch.from_numpy(np.random.default_rng(0).integers(0, 256, 100, np.uint8).repeat(2))  # two crops a photo
    images = walls.view(-1, 1, 1, 1).expand(-1, 3, 32, 32)
    apart, any_two = border_difference(images, torch.arange(200))
    assert apart[1] < 0.7 * any_two < apart[2] * 1.5
    gaps = torch.arange(0, 400, 2)
    apart, _ = border_difference(images, gaps)  # no two crops are one place apart
    assert 1 not in apart
    assert apart[2] == pytest.approx(border_difference(images, torch.arange(200))[0][1])


def test_the_share_with_neighbours_tells_a_split_that_leaks() -> None:
    assert share_with_neighbours(torch.arange(0, 100, 2), torch.arange(1, 100, 2)) == 1
    assert share_with_neighbours(torch.arange(50), torch.arange(55, 60)) == 0
    assert share_with_neighbours(torch.arange(50), torch.arange(54, 58)) == 0.25


def made(command: Command, *words: str) -> Path:
    done = command("report", *words)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.mark.slow
@pytest.mark.parametrize("data", ["svhn", "digits", "synthetic", "synthetic_numbers", "folder"])
def test_every_data_option_has_a_page(command: Command, tmp_path: Path, data: str) -> None:
    words: tuple[str, ...] = ()
    if data == "svhn":
        for part, count in {"train": 300, "test": 60}.items():
            write_mat(tmp_path / f"{part}_32x32.mat", count)
        words = (f"data.root={tmp_path}", "data.verify=false", "data.download=false", "data.split=blocks")
    elif data.startswith("synthetic"):
        words = ("data.size=100", "data.val_fraction=0", "seed=3")
    elif data == "folder":
        for label in range(10):
            (tmp_path / f"images/{label}").mkdir(parents=True)
            for number in range(15):
                Image.new("RGB", (32, 32), (25 * label, number, 0)).save(tmp_path / f"images/{label}/{number}.png")
        words = (f"data.root={tmp_path}/images", "data.split=random")
    page = tmp_path / made(command, f"data={data}", *words)
    document = rendered(page)
    headings = re.findall(r"<h2>(.*?)</h2>", document)
    counts = "Numbers per length" if data == "synthetic_numbers" else "Crops per class"
    assert {counts, "Samples: train", "Samples: test", "Brightness and contrast"} <= set(headings)
    images_drawn = sorted(page.parent.glob("*.png"))
    assert document.count('<img src="data:image/png;base64,') == len(images_drawn) == len(headings)
    assert ("Samples: validation" in headings) == (not data.startswith("synthetic"))
    if data == "svhn":
        assert "0.0%" in document  # of the validation crops have a neighbour that trains


def test_the_page_names_the_split_and_its_fingerprint(command: Command, tmp_path: Path) -> None:
    page = tmp_path / made(command, "data=digits", "data.split_seed=5", "folder=here")
    assert page == tmp_path / "here" / "report.html"
    text = page.read_text()
    assert "data.split_seed=5" in text
    assert command("train", "data=digits", "data.split_seed=5", "epochs=1", "model.width=4").returncode == 0
    (record,) = tmp_path.rglob("run.json")
    assert re.search(r'"data_sha256": "(\w+)"', record.read_text())[1] in text


def test_the_page_says_how_the_data_were_split(command: Command, tmp_path: Path) -> None:
    text = (tmp_path / made(command, "data=digits", "data.split=photos")).read_text()
    assert text.count("Split by contiguous blocks, since their photos are not known") == 1
    assert "Split by photo" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=nothing"], "data=nothing"),
        (["data=digits", "study=s"], "study=STUDY or data=OPTION"),
        (["data=digits", "data.reduce=7"], "data.reduce=7"),
        (["study=s", "data.reduce=0.5"], "data.reduce"),
        (["study=s", "folder=x"], "folder"),
    ],
)
def test_mistakes_are_one_line(command: Command, words: list[str], said: str) -> None:
    done = command("report", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_the_legend_lies_outside_of_the_bars() -> None:
    labels = torch.cat([torch.arange(10), torch.full((100,), 9), torch.full((90,), 8)])  # tallest on the right
    data = LabeledImages(random_images(len(labels)), labels)
    figure = data_figures.counts({"train": data, "validation": data, "test": data})
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= axes.get_window_extent().y1
    assert axes.title.get_window_extent().y0 >= legend.get_window_extent().y1
    assert axes.title.get_window_extent().y1 <= figure.bbox.y1
