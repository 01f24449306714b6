"""Rendered street-number digits."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from support import Command, composed, only_run

from housenumbers.config.sections import DataConfig
from housenumbers.data import glyphs
from housenumbers.data.defects import single_defects
from housenumbers.data.load import load_splits, load_test
from housenumbers.data.render import render
from housenumbers.runtime import processes
from housenumbers.runtime.errors import UserError


def config(tmp_path: Path, *words: str) -> DataConfig:
    return composed("data=synthetic", "data.size=60", f"data.cache={tmp_path}/cache", *words).data


@pytest.fixture(scope="module")
def fonts() -> list[glyphs.Font]:
    return glyphs.load_fonts(glyphs.font_files("matplotlib"))


@pytest.mark.slow
def test_every_crop_is_a_function_of_its_seed_and_index(tmp_path: Path) -> None:
    few = load_splits(config(tmp_path, "data.val_fraction=0")).train
    more = load_splits(config(tmp_path, "data.val_fraction=0", "data.size=90")).train
    assert torch.equal(more.images[:60], few.images)
    assert torch.equal(few.labels, torch.arange(60) % 10)
    assert few.images.shape == (60, 3, 32, 32)
    other = load_splits(config(tmp_path, "data.val_fraction=0", "data.render_seed=1")).train
    assert not any(torch.equal(one, two) for one, two in zip(few.images, other.images, strict=True))


def test_without_defects_the_hardest_crop_is_the_cleanest_one(fonts: list[glyphs.Font]) -> None:
    kinds = single_defects()
    for index in range(10):
        clean = render((0, index), index, 0.0, fonts)
        assert (render((0, index), index, 1.0, fonts, kinds["none"]) == clean).all()
        assert (render((0, index), index, 1.0, fonts, kinds["all"]) == render((0, index), index, 1.0, fonts)).all()


def test_each_kind_of_defect_alone_changes_crops_in_its_own_way(fonts: list[glyphs.Font]) -> None:
    crops = {
        name: np.stack([render((0, index), index, 1.0, fonts, defects) for index in range(10)]).tobytes()
        for name, defects in single_defects().items()
    }
    assert len(set(crops.values())) == len(crops)


@pytest.mark.slow
def test_processes_render_what_one_does(tmp_path: Path) -> None:
    many = load_splits(config(tmp_path, "data.val_fraction=0", "data.size=1600")).train  # more than three chunks
    few = load_splits(config(tmp_path, "data.val_fraction=0")).train
    assert torch.equal(many.images[:60], few.images)
    assert len({image.numpy().tobytes() for image in many.images}) == 1600


def test_the_test_part_is_of_its_own(tmp_path: Path) -> None:
    train, test = load_splits(config(tmp_path, "data.val_fraction=0")).train, load_test(config(tmp_path))
    assert len(test.labels) == 15
    assert not {image.numpy().tobytes() for image in test.images} & {image.numpy().tobytes() for image in train.images}


def test_a_crop_gets_harder_and_stays_itself(fonts: list[glyphs.Font]) -> None:
    """The farther apart two difficulties are, the less alike the crops; and low ones are clean."""
    apart = {0.1: [], 0.5: [], 1.0: []}
    for index in range(40):
        clean = render((0, index), index % 10, 0, fonts).astype(float)
        for difficulty, differences in apart.items():
            differences.append(np.abs(render((0, index), index % 10, difficulty, fonts) - clean).mean())
        lightness = clean.mean(axis=2)
        middle, edge = lightness[8:24, 8:24], np.concatenate([lightness[0], lightness[-1]])
        assert np.ptp(edge) < 40  # nothing beside the digit but its wall
        assert np.ptp(middle) > 150
    means = [np.mean(differences) for differences in apart.values()]
    assert means == sorted(means)
    assert means[0] < means[2] / 2


@pytest.mark.slow
def test_labels_can_be_read(command: Command) -> None:
    """A small net learns from clean crops what the digits are, so that labels and images belong together."""
    words = ("data=synthetic", "data.size=1500", "data.difficulty=0.1", "model.width=8", "epochs=6")
    done = command("train", *words, "optimizer.lr=0.005", "scheduler=onecycle", "data.batch_size=32", "threads=1")
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("test accuracy ")[1].split(" %")[0]) > 85


@pytest.mark.slow
def test_a_curriculum_begins_with_easy_crops_and_keeps_validation(tmp_path: Path) -> None:
    plain = load_splits(config(tmp_path))
    easy = load_splits(config(tmp_path, "data.difficulty=0"))
    grown = load_splits(config(tmp_path, "data.curriculum=[0,0.9]"))
    assert [len(stage.labels) for stage in grown.stages] == [len(plain.train.labels)] * 2
    assert torch.equal(grown.stages[0].images, easy.train.images)
    assert torch.equal(grown.train.images, plain.train.images)
    assert torch.equal(grown.validation.images, plain.validation.images)
    assert len({plain.sha256, easy.sha256, grown.sha256}) == 3


@pytest.mark.slow
def test_a_curriculum_trains_and_resumes_to_the_same_bits(command: Command, tmp_path: Path) -> None:
    words = ("data=synthetic", "data.size=200", "model.width=4", "epochs=4", "threads=1", "data.curriculum=[0,0.3,0.9]")
    assert command("train", *words).returncode == 0
    folder = only_run(tmp_path)
    repeated = command("train", f"repeat={folder}")
    assert repeated.returncode == 0, repeated.stderr
    assert "equal" in repeated.stdout
    for name in ("metrics.jsonl", "checkpoints/best.pt", "checkpoints/last.pt"):
        assert (folder / name).exists()


def test_a_second_start_renders_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_splits(config(tmp_path))
    monkeypatch.setattr(glyphs, "load_fonts", lambda _: pytest.fail("renders again"))
    assert load_splits(config(tmp_path)).sha256 == first.sha256


@pytest.mark.slow
def test_fonts_of_a_folder(tmp_path: Path) -> None:
    own = tmp_path / "my fonts"
    own.mkdir()
    shutil.copy(next(file for file in glyphs.font_files("matplotlib") if file.name == "cmr10.ttf"), own / "a.ttf")
    (own / "broken.ttf").write_bytes(b"no font")
    assert len(load_test(config(tmp_path, f"data.fonts='{own}'")).labels) == 15
    assert len(glyphs.load_fonts(glyphs.font_files(str(own)))) < len(glyphs.load_fonts(glyphs.font_files("matplotlib")))
    (own / "a.ttf").unlink()
    with pytest.raises(UserError, match="ten digits"):
        load_test(config(tmp_path, f"data.fonts='{own}'"))
    with pytest.raises(UserError, match=r"data\.fonts=.*nowhere"):
        load_test(config(tmp_path, "data.fonts=nowhere"))


def test_matplotlibs_fonts_are_all_there(fonts: list[glyphs.Font]) -> None:
    files = glyphs.font_files("matplotlib")
    assert all(file.is_file() for file in files)
    drawn = len(fonts) - len(files)  # none of them was a double, or without digits
    assert drawn > 10
    assert set(files) <= set(glyphs.font_files("system"))


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["data=synthetic", "data.size=5"], "data.size=5"),
        (["data=synthetic", "data.difficulty=1.5"], "data.difficulty=1.5"),
        (["data=synthetic", "data.curriculum=[0.5,2]"], "data.curriculum"),
        (["data=synthetic", "data.fonts=''"], "data.fonts"),
        (["data=synthetic", "data.render_seed=-1"], "data.render_seed=-1"),
        (["data=svhn", "data.difficulty=0.5"], "without rendered images"),
        (["data=digits", "data.curriculum=[0.5]"], "only data=synthetic"),
    ],
)
def test_mistakes_are_one_line(words: list[str], key: str) -> None:
    with pytest.raises(UserError, match=key.replace("[", r"\[")):
        composed(*words)


def test_there_is_no_extra_part(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.use_extra"):
        load_splits(config(tmp_path, "data.use_extra=true"))


@pytest.mark.slow
@pytest.mark.skipif(processes.available_cores() < 2, reason="a single core renders in the process itself")
def test_a_render_that_is_interrupted_ends_at_once(tmp_path: Path) -> None:
    """Ctrl-C while processes render: exit code 130, no half entry in the cache, and no process left."""
    import os
    import signal
    import time

    import psutil
    from support import command_line, environment

    words = ("data=synthetic", "data.size=60000", f"data.cache={tmp_path}/cache", "threads=1")
    process = subprocess.Popen(
        command_line("train", *words), cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while len(children := psutil.Process(process.pid).children(recursive=True)) < 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    assert not list((tmp_path / "cache").glob("*.pt"))
