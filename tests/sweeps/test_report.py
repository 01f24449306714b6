"""The report of a sweep, as a reader opens it: in a real browser, without a network."""

import math
import random
import re
import shutil
from pathlib import Path

import optuna
import pytest
from support import rendered, run_in, sweep


@pytest.fixture(scope="module")
def page(searched: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a copy of that sweep, with 20 more trials, whose learning rate alone made their accuracies."""
    home = tmp_path_factory.mktemp("told")
    shutil.copytree(searched / "multirun", home / "multirun")
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{home}/multirun/s/study.db")
    one, random_numbers = study.trials[0], random.Random(0)
    for _ in range(20):
        rate = 10 ** random_numbers.uniform(-4, -1)
        params = {**one.params, "optimizer.lr": rate, "data.batch_size": random_numbers.choice((16, 32)), "epochs": 3}
        value = 0.95 - abs(math.log10(rate) + 2.5) / 10
        curve = {epoch: value * epoch / 3 for epoch in (1, 2, 3)}
        trial = optuna.create_trial(
            params=params, distributions=one.distributions, value=value, intermediate_values=curve
        )
        study.add_trial(trial)
    done = run_in(home, "report", "study=s")
    assert done.returncode == 0, done.stderr
    return home / "multirun/s/report.html"


def test_it_renders_without_errors_and_asks_nobody_for_anything(page: Path) -> None:
    # The page forbids itself every request; a browser would tell of one that was tried on the console.
    assert "default-src 'none'" in page.read_text()
    document = rendered(page)
    titles = ["Learning curves", "History", "Importance of the parameters", "Slices", "Parallel coordinates"]
    headings = re.findall(r"<h2>(.*?)</h2>", document)
    assert headings == ["Best configuration", *titles, "All trials", "What all trials share"]
    drawn = re.findall(r'<svg class="main-svg"[^>]*>', document)
    assert len(drawn) >= len(titles)
    assert "Pruning ended" in document
    assert "python src/train.py" in document
    for number in range(6):
        assert f'href="trial_{number:04d}/"' in document
    assert document.count("pruned after epoch 1") >= 2


# Labels of the figures' horizontal axes that overlap.
CROWDED = """<pre id="crowded"></pre><script>onload = () => setTimeout(() => {
    const crowded = [];
    for (const figure of document.querySelectorAll(".figure")) {
        const labels = [...figure.querySelectorAll("[class^=x][class$=tick] text")].map(
            label => [label.textContent, label.getBoundingClientRect()]);
        labels.forEach(([text, box], place) => {
            const hit = ([_, other]) => box.left < other.right && other.left < box.right
                && box.top < other.bottom && other.top < box.bottom;
            if (labels.slice(place + 1).some(hit)) crowded.push(text);
        });
    }
    document.querySelector("#crowded").textContent = JSON.stringify(crowded);
}, 1000)</script>"""


def test_a_phone_has_room_for_the_figures_labels(page: Path, tmp_path: Path) -> None:
    narrow = tmp_path / "page.html"
    text = page.read_text()
    narrow.write_text(text.replace("<body>", '<body style="width: 358px">').replace("</body>", f"{CROWDED}</body>"))
    assert re.findall(r'<pre id="crowded">(.*?)</pre>', rendered(narrow)) == ["[]"]


def test_a_request_to_another_host_would_be_noticed(searched: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    text = (searched / "multirun/s/report.html").read_text()
    page.write_text(text.replace("<body>", '<body><img src="http://127.0.0.1:9/picture.png">'))
    with pytest.raises(AssertionError, match="CONSOLE"):
        rendered(page)


def test_it_can_be_made_again(searched: Path) -> None:
    page = searched / "multirun/s/report.html"
    before = page.read_text()
    page.unlink()
    done = run_in(searched, "report", "study=s")
    assert done.returncode == 0, done.stderr
    again = page.read_text()
    without = [re.sub(r"Written .*? UTC|[0-9a-f]{8}-[0-9a-f-]{27}", "", text) for text in (before, again)]
    assert without[0] == without[1]
    assert run_in(searched, "report", f"study={searched}/multirun/s").returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "study=STUDY"),
        (["study=nothing"], "study=nothing"),
        (["study=s", "storage=sqlite:////nowhere/at/all.db"], "storage=sqlite:////nowhere/at/all.db: no studies"),
    ],
)
def test_a_study_that_is_not_there_is_one_line(searched: Path, words: list[str], said: str) -> None:
    done = run_in(searched, "report", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize("left", ["no file", "an empty file"])
@pytest.mark.parametrize("verb", ["report", "confirm"])
def test_a_database_that_is_gone_is_not_made_anew(searched: Path, tmp_path: Path, verb: str, left: str) -> None:
    shutil.copytree(searched / "multirun", tmp_path / "multirun")
    database = tmp_path / "multirun/s/study.db"
    database.unlink()
    if left == "an empty file":
        database.touch()
    before = sorted(tmp_path.rglob("*"))
    for words in (["study=s"], ["study=multirun/s"], ["study=s", "storage=sqlite:///multirun/s/study.db"]):
        done = run_in(tmp_path, verb, *words)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "no multirun/s/study.db" in line or "no studies are there" in line
        assert sorted(tmp_path.rglob("*")) == before
        assert left == "no file" or not database.read_bytes()


def test_failures_stand_in_it_with_their_reasons_even_if_nothing_completed(tmp_path: Path) -> None:
    done = sweep(tmp_path, "optimizer=sgd", "optimizer.lr=interval(1e30,1e31)", "hydra.sweeper.n_trials=1")
    assert done.returncode == 1
    page = (tmp_path / "multirun/s/report.html").read_text()
    assert "No trial completed" in page
    assert re.search(r'class="reason">failed: DivergedError', page)


def test_several_objectives_are_drawn_as_a_front(tmp_path: Path) -> None:
    done = sweep(tmp_path, "objective=[val_accuracy,train_seconds]", "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    assert "no trial is pruned" in done.stdout
    document = rendered(tmp_path / "multirun/s/report.html")
    assert document.count("This command runs it again") >= 1
    assert "Pareto front" in document
    front = document.partition("Pareto front")[2].partition("<h2>")[0]
    assert 'class="main-svg"' in front
    assert "cbaxis" not in front  # two colour bars, one over the other's labels on a phone
    assert "History (train_seconds)" in document
