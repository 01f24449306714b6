"""A trained net on corrupted images, by the command that a user types, and on the pages that show it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from support import composed, laid_out, run_in

from housenumbers.evaluation.corruptions import KINDS
from housenumbers.reports.comparison_page import write_comparison_page
from housenumbers.reports.run_page import write_run_page
from housenumbers.runs.run import run as train
from housenumbers.runtime.errors import UserError


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of a run that has learnt something, scored under corruption, and what the command printed."""
    home = tmp_path_factory.mktemp("scored")
    small = ("data=digits", "data.batch_size=32", "model=fastnet", "model.channels=[8,16,32]", "threads=1")
    train(composed(*small, "epochs=4", "optimizer.lr=0.01", "scheduler=onecycle"), home / "outputs" / "run")
    done = run_in(home, "evaluate", "run=last", "corruptions=true")
    assert done.returncode == 0, done.stderr
    return home / "outputs" / "run", done


@pytest.fixture
def run(scored: tuple[Path, object], tmp_path: Path) -> Path:
    """Another copy of it."""
    return shutil.copytree(scored[0], tmp_path / "run")


def text_of(page: Path) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.read_text()).split())


def test_the_file_and_the_table_say_the_same(scored: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = scored
    scores = json.loads((folder / "corruptions_test.json").read_text())
    recorded = json.loads((folder / "run.json").read_text())["test"]
    assert (scores["accuracy"], scores["n"]) == (recorded["accuracy"], recorded["n"])
    assert list(scores["kinds"]) == list(KINDS)
    for name, kind in scores["kinds"].items():
        assert kind["mean"] == pytest.approx(sum(kind["accuracy"]) / 5)
        cells = " ".join(f"{value:.1%}" for value in (scores["accuracy"], *kind["accuracy"], kind["mean"]))
        assert f"{KINDS[name].title} {cells}" in " ".join(done.stdout.split())
    assert scores["mean"] == pytest.approx(sum(kind["mean"] for kind in scores["kinds"].values()) / len(KINDS))
    assert f"{scores['accuracy']:.2%} of {scores['n']}, {scores['mean']:.2%} on average" in done.stdout
    assert scores["accuracy"] > 0.8  # 0.99, with a tenth of it under the strongest noise, whatever the seed
    assert scores["kinds"]["gaussian_noise"]["accuracy"][-1] < 0.6
    assert scores["kinds"]["rotation"]["accuracy"][-1] < 0.6
    assert Image.open(folder / "figures" / "corruptions_test.png").width > 1000


def test_of_a_trial_the_test_part_is_not_looked_at_unasked(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"trial": {"study": "s", "number": 0}}))
    (run / "corruptions_test.json").unlink()
    done = run_in(run.parent, "evaluate", "run=run", "corruptions=true")
    assert "validation part" in done.stdout
    assert (run / "corruptions_validation.json").exists()
    assert not (run / "corruptions_test.json").exists()
    assert "validation part" in run_in(run.parent, "evaluate", "run=run").stdout
    assert not (run / "evaluation_test.json").exists()


def test_other_data_have_files_of_their_own(run: Path) -> None:
    done = run_in(run.parent, "evaluate", "run=run", "corruptions=true", "data=synthetic", "data.size=100")
    assert done.returncode == 0, done.stderr
    assert json.loads((run / "corruptions_test_on_synthetic.json").read_text())["n"] == 25
    assert (run / "figures" / "corruptions_test_on_synthetic.png").exists()


@pytest.mark.parametrize("words", [["corruptions=perhaps"], ["corruptions=true", "strength=3"], ["corruption=true"]])
def test_mistakes_are_one_line(run: Path, words: list[str]) -> None:
    done = run_in(run.parent, "evaluate", "run=run", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words[-1].partition("=")[0] in line


def test_the_page_of_the_run_shows_it(run: Path) -> None:
    page = write_run_page(run)
    scores = json.loads((run / "corruptions_test.json").read_text())
    text = text_of(page)
    assert "Robustness, test" in text
    assert f"On average over kinds and strengths {100 * scores['mean']:.2f} %" in text
    for name, kind in scores["kinds"].items():
        assert f"{KINDS[name].title} {scores['accuracy']:.1%} {kind['accuracy'][0]:.1%}" in text
    assert laid_out(page, 390)["wide"] <= 390
    (run / "corruptions_test.json").unlink()
    assert "Robustness" not in text_of(write_run_page(run))


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "[" * 100_000,
        "{}",
        '{"n": 1, "accuracy": 1, "mean": 1, "kinds": {"<b>": {}}}',
        '{"n": 1, "accuracy": 1, "mean": 1, "kinds": {}}',
        '{"n": 1, "accuracy": 1, "mean": 1, "kinds": {"jpeg": {"accuracy": [1], "mean": 1}}}',
        '{"accuracy": 1, "mean": 1, "kinds": {"jpeg": {"accuracy": [1, 1, 1, 1, 1], "mean": 1}}}',
    ],
)
def test_a_damaged_file_is_told_in_one_line(run: Path, content: str) -> None:
    (run / "corruptions_test.json").write_text(content)
    with pytest.raises(UserError, match=r"corruptions_test\.json: damaged"):
        write_run_page(run)


def test_a_comparison_shows_it_where_all_runs_have_it(run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    mean = json.loads((run / "corruptions_test.json").read_text())["mean"]
    text = text_of(write_comparison_page([run, other], folder=tmp_path / "page"))
    assert "under corruption" in text
    assert text.count(f"{100 * mean:.2f} %") == 2
    (other / "corruptions_test.json").unlink()
    assert "under corruption" not in text_of(write_comparison_page([run, other], folder=tmp_path / "page"))
