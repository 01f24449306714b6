"""The page that explains a run, as a reader opens it: in a real browser, without a network."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from networks import as_if_it_had_learnt, weights_of
from sklearn.metrics import precision_recall_fscore_support
from support import TINY, Command, Report, composed, laid_out, only_run, rendered, run_folders, run_in

from housenumbers.evaluation.calibration import reliability
from housenumbers.evaluation.score import load_part, load_trained_model
from housenumbers.reports.after_training import LONG, page_after_training
from housenumbers.reports.run_page import confidence_verdict
from housenumbers.runs.run import run
from housenumbers.runtime.installation import command

OF_THE_DATA = [
    "Classes", "Calibration", "The most confident mistakes", "Labels that may be wrong", "What the model looks at",
]  # fmt: skip
OF_THE_FOLDER = ["Curves", "Time", "Do it again", "Settings", "Environment"]


@pytest.fixture(scope="module")
def explained(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run as if a temperature of 1.5 were the best one, with its page, made as a user does it."""
    home = tmp_path_factory.mktemp("explained")
    as_if_it_had_learnt(finished, home / "outputs/day/finished", weights_of(finished), "name=finished")
    done = run_in(home, "report", "run=last")
    assert done.returncode == 0, done.stderr
    page = home / done.stdout.strip()
    assert page == only_run(home) / "report.html"
    return page


@pytest.fixture
def home(finished: Path, tmp_path: Path) -> Path:
    """A working folder with a copy of the finished run."""
    shutil.copytree(finished.parents[1], tmp_path / "outputs")
    return tmp_path


def headings(document: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", document)


def text_of(page: Path) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.read_text()).split())


def test_it_renders_without_errors_and_asks_nobody_for_anything(explained: Path) -> None:
    assert "default-src 'none'" in explained.read_text()  # a browser would tell on the console of what was tried
    document = rendered(explained)
    assert headings(document) == [OF_THE_FOLDER[0], *OF_THE_DATA, *OF_THE_FOLDER[1:]]
    assert document.count("<svg") == 5
    assert explained.stat().st_size < 3e6


@pytest.mark.parametrize(
    ("confidence", "said"), [(0.967, "no difference"), (0.98, "overconfident"), (0.95, "underconfident")]
)
def test_confidence_is_called_wrong_only_outside_the_interval_of_the_accuracy(confidence: float, said: str) -> None:
    assert said in confidence_verdict(confidence, (0.9548, 0.9729))


def test_it_is_readable_on_a_phone_and_in_the_dark(explained: Path) -> None:
    light, dark = laid_out(explained, 390), laid_out(explained, 390, dark=True)
    assert light["wide"] <= 390
    assert dark["wide"] <= 390
    assert (light["text"], light["back"]) != (dark["text"], dark["back"])
    for figure in re.findall(r"<svg.*?</svg>", explained.read_text(), re.DOTALL):
        assert "currentColor" in figure
        assert ": #000000" not in figure


def test_its_numbers_are_those_of_scikit_learn(explained: Path) -> None:
    trained = load_trained_model(explained.parent / "checkpoints" / "best.pt", [])
    logits, labels = trained.predict(load_part(trained, "validation").data)
    raw_error = reliability(logits, labels).error
    logits = logits / trained.temperature  # as predict.py does
    assert trained.temperature == 1.5
    text = text_of(explained)
    precision, recall, _, support = precision_recall_fscore_support(
        labels, logits.argmax(dim=1), labels=range(10), zero_division=0
    )
    predicted = set(logits.argmax(dim=1).tolist())
    for label in range(10):
        shown = f"{100 * precision[label]:.2f} %" if label in predicted else "-"
        assert f"{label} {support[label]} {shown} {100 * recall[label]:.2f} %" in text
    assert f" with {trained.parameters:,} parameters, " in text
    assert trained.parameters == json.loads((explained.parent / "run.json").read_text())["parameters"]
    assert f" {trained.parameters:,} parameters; " in (explained.parent / "train.log").read_text()
    assert f"Expected calibration error {100 * reliability(logits, labels).error:.2f} %" in text
    assert f"without it the error would be {100 * raw_error:.2f} %" in text
    record = json.loads((explained.parent / "run.json").read_text())
    assert f"validation accuracy {100 * record['best']['val_accuracy']:.2f} %" in text
    assert f"test accuracy {100 * record['test']['accuracy']:.2f} %" in text
    wrong = (logits.argmax(dim=1) != labels).nonzero().view(-1)
    surest = wrong[logits.softmax(dim=1).amax(dim=1)[wrong].argmax()]
    probabilities = logits.softmax(dim=1)[surest]
    said = f"said {probabilities.argmax()}: {100 * probabilities.max():.1f} %"
    assert f"true {labels[surest]}: {100 * probabilities[labels[surest]]:.1f} % {said}" in text
    assert f"{len(wrong)} crops are wrong" in text
    assert f"{command('predict')} views=all gives" in text


def test_the_test_part_is_shown_only_where_asked_for(home: Path, report: Report) -> None:
    assert report(home, "run=best").returncode == 0
    page = only_run(home) / "report.html"
    assert "is of the validation part" in text_of(page)
    assert report(home, f"run={only_run(home)}", "split=test").returncode == 0
    assert "is of the test part: 360 crops" in text_of(page)


def test_without_its_data_a_run_still_has_a_page(svhn_folder: Path, report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "outputs" / "run"
    svhn = ("data=svhn", f"data.root={svhn_folder}", "data.verify=false", "model.width=4", "epochs=1", "threads=1")
    run(composed(*svhn, "data.batch_size=64"), folder)
    away = svhn_folder.rename(tmp_path / "away")
    done = report(tmp_path, "run=last")
    assert done.returncode == 0, done.stderr
    page = (folder / "report.html").read_text()
    assert headings(page) == OF_THE_FOLDER
    assert re.search(r'class="warn">No scores and images of the validation part: .*train_32x32.mat', page)
    assert report(tmp_path, "run=last", f"data.root={away}").returncode == 0
    page = (folder / "report.html").read_text()
    assert set(OF_THE_DATA) <= set(headings(page))
    done = report(tmp_path, "run=last")  # the data are still away
    assert done.returncode == 2
    assert "train_32x32.mat" in done.stderr
    assert (folder / "report.html").read_text() == page


def test_a_part_that_is_asked_for_and_not_there_leaves_the_page_alone(report: Report, tmp_path: Path) -> None:
    run(composed(*TINY, "epochs=1", "data.val_fraction=0"), tmp_path / "outputs" / "run")
    assert report(tmp_path, "run=last").returncode == 0
    page = (tmp_path / "outputs" / "run" / "report.html").read_text()
    done = report(tmp_path, "run=last", "split=validation")
    assert done.returncode == 2
    assert "no validation part" in done.stderr
    assert (tmp_path / "outputs" / "run" / "report.html").read_text() == page


def test_a_run_that_did_not_end_has_a_page(home: Path, report: Report) -> None:
    folder = only_run(home)
    record = json.loads((folder / "run.json").read_text())
    at_the_end = ("parameters", "epochs", "train_seconds", "weights_sha256", "best", "test", "calibration")
    begun = {key: value for key, value in record.items() if key not in at_the_end} | {"status": "running"}
    (folder / "run.json").write_text(json.dumps(begun))
    done = report(home, "run=last")
    assert done.returncode == 0, done.stderr
    assert "interrupted; resnet31" in text_of(folder / "report.html")


def test_a_cover_leaves_no_more_than_the_whole_image_had(report: Report, tmp_path: Path) -> None:
    views = ("tta=1", "tta_invert=true", "data.split_seed=42", "seed=3")
    run(composed(*TINY, *views), tmp_path / "run")
    assert report(tmp_path, "run=run").returncode == 0
    shown = re.findall(r"([\d.]+) %, at worst ([\d.]+) %", text_of(tmp_path / "run" / "report.html"))
    assert len(shown) > 6
    assert all(float(left) <= float(whole) for whole, left in shown)


def test_a_folder_in_the_place_of_the_page_is_one_line(home: Path, report: Report) -> None:
    (only_run(home) / "report.html").mkdir()
    done = report(home, "run=last", "data.root=nowhere")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "report.html: Is a directory: a folder is where a file has to be: move it away" in line


def test_what_a_record_from_elsewhere_says_is_text(home: Path, report: Report) -> None:
    (folder,) = run_folders(home)
    script = "<script>alert(1)</script>"
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"error": script, "host": script, script: [script]}))
    (folder / ".hydra" / "overrides.yaml").write_text(json.dumps([f"name={script}"]))
    assert report(home, "run=last").returncode == 0
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") == 5


def test_it_shows_tags_and_note(home: Path, report: Report) -> None:
    (folder,) = run_folders(home)
    assert run_in(home, "runs", f"run={folder}", "tags=[baseline,lr]", "note=<b>first</b> try").returncode == 0
    assert report(home, "run=last").returncode == 0
    assert "Tags: baseline, lr. Note: &lt;b&gt;first&lt;/b&gt; try" in (folder / "report.html").read_text()


def test_only_a_long_run_makes_its_page_by_itself(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = only_run(home)
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"train_seconds": LONG - 0.1}))
    page_after_training(folder)
    assert not (folder / "report.html").exists()
    assert f"report.py run={folder}" in capsys.readouterr().out
    (folder / "run.json").write_text(json.dumps(record | {"train_seconds": LONG}))
    page_after_training(folder)
    assert str(folder / "report.html") in capsys.readouterr().out
    assert (folder / "report.html").exists()
    (folder / "metrics.jsonl").write_text("damaged")
    page_after_training(folder)  # the run itself is well
    assert "no page of it" in capsys.readouterr().out


def test_a_run_says_how_its_page_is_made(command: Command) -> None:
    done = command("train", *TINY, "epochs=1", "name=short")
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("a page of it: python src/report.py run=")
    assert last.endswith("_short")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run=nowhere"], "run=nowhere"),
        (["run=outputs"], "no run.json"),
        (["run=best", "split=train"], "split=train"),
        (["run=best", "folder=x"], "folder"),
        (["run=best", "optimizer.lr=1"], "optimizer.lr"),
        (["run=best", "data.reduce=0.1"], "data.reduce"),
        (["run=best", "study=s"], "run=RUN"),
        (["run={folder}/checkpoints/best.pt"], "not a run's folder"),
        (["no checkpoint"], "no such checkpoint"),
        (["corrupt checkpoint"], "damaged"),
        (["unsafe checkpoint"], "could run code"),
        (["other target"], "model"),
        (["damaged metrics"], "metrics.jsonl"),
    ],
)
def test_mistakes_are_one_line(home: Path, report: Report, words: list[str], said: str) -> None:
    folder = only_run(home)
    best = folder / "checkpoints" / "best.pt"
    if words == ["no checkpoint"]:
        best.unlink()
    elif words == ["corrupt checkpoint"]:
        best.write_bytes(best.read_bytes()[:2000])
    elif words == ["unsafe checkpoint"]:
        torch.save({"format": 1, "config": {}, "model": Path("x")}, best)
    elif words == ["other target"]:
        content = torch.load(best, weights_only=True)
        content["config"]["model"]["_target_"] = "os.system"
        torch.save(content, best)
    elif words == ["damaged metrics"]:
        (folder / "metrics.jsonl").write_text('{"epoch": "<b>"}\n')
    given = [word.format(folder=folder) for word in words] if "=" in words[0] else [f"run={folder}"]
    done = report(home, *given)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert not (folder / "report.html").exists()
