"""The page that compares runs."""

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from networks import always, as_if_it_had_learnt
from scipy.stats import binomtest
from support import NUMBERS, Report, composed, laid_out, rendered, run_folders

from housenumbers.evaluation.score import load_part, load_trained_model
from housenumbers.runs.run import run
from housenumbers.tracking.run_folder import RunFolder


@pytest.fixture(scope="module")
def trio(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with three runs: two on the same split, and one on another.

    The second sees a 0 in every image, the third a 1.
    """
    home = tmp_path_factory.mktemp("trio")
    shutil.copytree(finished.parents[1], home / "outputs")
    zero, one = (always(label, finished) for label in (0, 1))
    words = ("name=second", "seed=1", "data.split_seed=42", "optimizer.lr=0.005")
    as_if_it_had_learnt(finished, home / "outputs/a_second", zero, *words)
    as_if_it_had_learnt(finished, home / "outputs/a_third", one, "name=third", "seed=2")
    return home


def run_named(home: Path, name: str) -> str:
    (folder,) = [folder for folder in run_folders(home) if folder.name.endswith(f"_{name}")]
    return str(folder.relative_to(home))


def test_it_renders_and_its_counts_and_test_are_right(trio: Path, report: Report) -> None:
    names = ["finished", "second", "third"]
    done = report(trio, f"runs=[{','.join(run_named(trio, name) for name in names)}]")
    assert done.returncode == 0, done.stderr
    page = trio / done.stdout.strip()
    assert page.parent.parent == trio / "outputs" / "comparisons"
    document = rendered(page)
    assert laid_out(page, 390)["wide"] <= 390
    assert page.stat().st_size < 3e6
    assert document.count("<svg") == 4
    text = " ".join(re.sub(r"<[^>]*>", " ", document).split())

    rights = []
    for name in names:
        trained = load_trained_model(trio / run_named(trio, name) / "checkpoints" / "best.pt", [])
        logits, labels = trained.predict(load_part(trained, "test").data)
        rights.append(logits.argmax(dim=1) == labels)
    for name, right in zip(names, rights, strict=True):
        assert f"{name} {100 * right.float().mean():.2f} %" in text
    for pattern, count in Counter(zip(*(right.tolist() for right in rights), strict=True)).items():
        assert f"{' '.join('●' if right else '○' for right in pattern)} {count} " in text
    only_second, only_third = int(rights[1].sum()), int(rights[2].sum())  # no image is a 0 and a 1
    p = binomtest(only_second, only_second + only_third).pvalue
    row = rf"B, C (. is better|no difference shown) \S+ points {p:.2g} \S+ {only_second} {only_third} "
    assert re.search(row, text)
    assert "optimizer.lr 0.0013 0.005 0.0013" in text


def test_the_folder_and_the_part_can_be_chosen(trio: Path, report: Report) -> None:
    runs = f"runs=[{run_named(trio, 'finished')},{run_named(trio, 'second')}]"
    assert report(trio, runs, "split=validation", "folder=here").stdout == "here/report.html\n"
    page = trio / "here" / "report.html"
    assert "Scored on the <b>validation</b> part" in page.read_text()
    assert "Holm" not in page.read_text()  # there is one pair


@pytest.mark.parametrize(
    ("runs", "more", "said"),
    [
        ("{finished}", [], "from 2 to 6"),
        ("{finished},{finished}/", [], "twice"),
        ("{finished},nowhere", [], "nowhere"),
        ("{finished},outputs", [], "no run.json"),
        ("{finished},{third}", ["split=validation"], "split=test"),
        ("{finished},{second}", ["run=last"], "runs=[RUN,RUN]"),
    ],
)
def test_mistakes_are_one_line(trio: Path, report: Report, runs: str, more: list[str], said: str) -> None:
    named = {name: run_named(trio, name) for name in ("finished", "second", "third")}
    done = report(trio, f"runs=[{runs.format(**named)}]", *more)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


def test_runs_on_other_data_are_refused(trio: Path, report: Report, svhn_folder: Path, tmp_path: Path) -> None:
    svhn = ("data=svhn", f"data.root={svhn_folder}", "data.verify=false", "model.width=2", "epochs=1", "threads=1")
    run(composed(*svhn, "data.batch_size=64"), tmp_path / "other")
    done = report(trio, f"runs=[{run_named(trio, 'finished')},{tmp_path}/other]")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "other images" in line


def test_a_trial_is_not_compared_on_the_test_part(trio: Path, report: Report, tmp_path: Path) -> None:
    runs = [shutil.copytree(trio / run_named(trio, name), tmp_path / name) for name in ("finished", "second")]
    record = json.loads((runs[1] / "run.json").read_text())
    (runs[1] / "run.json").write_text(json.dumps(record | {"trial": {"study": "s", "number": 0}}))
    assert report(tmp_path, "runs=[finished,second]", "folder=here").returncode == 0
    assert "Scored on the <b>validation</b> part" in (tmp_path / "here/report.html").read_text()


def test_readers_of_whole_numbers_are_compared(report: Report, tmp_path: Path) -> None:
    for seed in (0, 1):
        run(composed(*NUMBERS[:-1], f"seed={seed}", f"name=reader{seed}"), tmp_path / f"outputs/reader{seed}")
    done = report(tmp_path, "runs=[outputs/reader0,outputs/reader1]")
    assert done.returncode == 0, done.stderr
    text = " ".join(re.sub(r"<[^>]*>", " ", rendered(tmp_path / done.stdout.strip())).split())
    for seed in (0, 1):
        accuracy = RunFolder(tmp_path / f"outputs/reader{seed}").record()["test"]["accuracy"]
        assert f"reader{seed} {100 * accuracy:.2f} %" in text
    assert "How many numbers just these runs get right" in text
