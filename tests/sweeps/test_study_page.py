"""The report of a sweep, as a reader opens it: in a real browser, without a network."""

import json
import math
import random
import re
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from studies import made_up_study
from support import rendered, run_in, sweep

from housenumbers.sweeps.study_figures import figures
from housenumbers.sweeps.study_page import write_study_page


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


@pytest.mark.slow
def test_it_renders_without_errors_and_asks_nobody_for_anything(page: Path) -> None:
    # The page forbids itself every request; a browser would tell of one that was tried on the console.
    assert "default-src 'none'" in page.read_text()
    document = rendered(page)
    titles = ["Learning curves", "History", "Importance of the parameters", "Slices", "Parallel coordinates"]
    headings = re.findall(r"<h2>(.*?)</h2>", document)
    assert headings == ["Highest val_accuracy of the search", *titles, "All trials", "What all trials share"]
    drawn = re.findall(r'<svg class="main-svg"[^>]*>', document)
    assert len(drawn) >= len(titles)
    assert "Pruning ended" in document
    assert "python src/train.py" in document
    for number in range(6):
        assert f'href="trial_{number:04d}/"' in document
    assert document.count("pruned after epoch 2") >= 2


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
    page.write_text(text.replace("<body>", '<body><img src="http://127.0.0.1:9/image.png">'))
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_several_objectives_are_drawn_as_a_front(tmp_path: Path) -> None:
    done = sweep(tmp_path, "objective=[val_accuracy,train_seconds]", "hydra.sweeper.n_trials=3")
    assert done.returncode == 0, done.stderr
    assert "no trial is pruned" in done.stdout
    document = rendered(tmp_path / "multirun/s/report.html")
    assert document.count("This command runs it again") >= 1
    assert "Pareto front" in document
    front = document.partition("<h2>Pareto front</h2>")[2].partition("<h2>")[0]
    assert 'class="main-svg"' in front
    assert "cbaxis" not in front  # two colour bars, one over the other's labels on a phone
    assert "History (train_seconds)" in document


def confirmed(best: int | None, *rows: tuple[int, str], objective: str = "val_accuracy") -> str:
    """What confirm.py leaves: each trial with what is said of it."""
    shared = {"search": "0.9", "confirmed": "0.88 ± 0.01", "test": "0.87 ± 0.01", "n": 2, "scores": [0.87, 0.89]}
    content = [{"trial": trial, "difference": said, **shared} for trial, said in rows]
    return json.dumps({"objective": objective, "seeds": [43, 44], "best": best, "rows": content})


def test_after_confirming_it_leads_with_the_same_trial_and_claims_no_more_than_the_test(tmp_path: Path) -> None:
    rows = ((2, "no difference shown (p = 0.64)"), (1, "the highest mean"), (0, "worse (p = 0.01)"))
    (tmp_path / "confirmed.json").write_text(confirmed(1, *rows))
    page = write_study_page(made_up_study([[0.5], [0.89], [0.9]]), tmp_path).read_text()
    text = " ".join(re.sub(r"<[^>]*>", " ", page.partition("<body>")[2]).split())
    first = text.partition("Learning curves")[0]
    assert "Trial 1 has the highest mean of val_accuracy. Trial 2: no difference" in re.sub(" (?=[.])", "", first)
    assert "scheduler.step_size=2" in first  # trial 1's
    assert "of the search" not in first
    assert "the best" not in first


def test_what_the_search_found_since_it_was_confirmed_is_shown_too(tmp_path: Path) -> None:
    (tmp_path / "confirmed.json").write_text(confirmed(1, (1, "the highest mean")))
    page = write_study_page(made_up_study([[0.5], [0.89], [0.9]]), tmp_path).read_text()
    assert page.index("Confirmed on fresh seeds") < page.index("Highest val_accuracy of the search")


def test_confirmed_trials_of_several_objectives_have_no_leader(tmp_path: Path) -> None:
    rows = ((0, "val_accuracy the highest mean, train_seconds worse (p = 0.01)"), (1, "val_accuracy worse (p = 0.02)"))
    (tmp_path / "confirmed.json").write_text(confirmed(None, *rows, objective="val_accuracy, train_seconds"))
    study = made_up_study([[0.9, 20.0], [0.5, 10.0]], ("val_accuracy", "train_seconds"))
    page = write_study_page(study, tmp_path).read_text()
    assert " has the highest mean" not in page
    assert "val_accuracy the highest mean, train_seconds worse" in page


@pytest.mark.parametrize(("complete", "drawn", "cautious"), [(3, False, False), (10, True, True), (30, True, False)])
def test_importances_are_kept_back_from_few_trials(complete: int, drawn: bool, cautious: bool) -> None:
    study = made_up_study([[number**2 / 1000] for number in range(complete)])
    ((hint, figure),) = [found[1:] for found in figures(study, ["val_accuracy"]) if "Importance" in found[0]]
    assert (figure is not None) is drawn
    assert ("rough estimate" in hint) is cautious
    assert ("fANOVA" in hint) is drawn


def test_the_importances_name_the_parameters_that_only_some_options_have() -> None:
    study = optuna.create_study()
    for number in range(10):
        trial = study.ask()
        option = trial.suggest_categorical("optimizer", ["sgd", "adam"])
        inner = trial.suggest_float("optimizer.lr", 0.001 if option == "sgd" else 0.01, 1)
        more = trial.suggest_float("optimizer.momentum", 0, 0.9) if option == "sgd" else 0
        study.tell(trial, inner + more + trial.suggest_float("label_smoothing", 0, 0.1) + number / 100)
    assert len({trial.params["optimizer"] for trial in study.trials}) == 2
    ((hint, figure),) = [found[1:] for found in figures(study, ["val_loss"]) if "Importance" in found[0]]
    assert figure is not None
    assert set(figure.data[0].y) == {"optimizer", "label_smoothing"}
    assert hint.endswith("with the same range: optimizer.lr, optimizer.momentum.")


def test_trials_that_all_failed_after_an_epoch_have_no_learning_curves(tmp_path: Path) -> None:
    study = made_up_study([])
    for _ in range(2):
        trial = study.ask()
        trial.report(0.5, 1)
        study.tell(trial, state=TrialState.FAIL)
    assert figures(study, ["val_accuracy"]) == []
    assert "No trial completed" in write_study_page(study, tmp_path).read_text()


def test_axes_of_counted_things_have_whole_ticks() -> None:
    study = made_up_study([[0.5], [0.6], [0.7], None])
    drawn = {title: figure for title, _, figure in figures(study, ["val_accuracy"])}
    assert drawn["Learning curves"].layout.xaxis.dtick == 1
    assert drawn["History"].layout.xaxis.dtick == 1
    assert drawn["Slices"].layout.xaxis3.dtick == 1  # scheduler.step_size
    step_size = [tick.text for tick in drawn["Parallel coordinates"].layout.annotations if tick.x == 3]
    assert step_size
    assert all(text.isdigit() for text in step_size)


@pytest.mark.parametrize("count", [2, 3])
def test_the_front_and_all_points_are_visible_on_white(count: int) -> None:
    objectives = ("val_accuracy", "train_seconds", "val_loss")[:count]
    values = [[0.5 + 0.1 * number, 10.0 + number, 10.0 + number][:count] for number in range(3)]
    study = made_up_study([*values, [0.4, 20.0, 20.0][:count]], objectives)
    drawn = {title: figure for title, _, figure in figures(study, objectives)}
    assert {trace.marker.color for trace in drawn["Pareto front"].data if trace.x} == {"#dc2626", "#9ca3af"}
    for title in ("Slices (val_accuracy)", "Parallel coordinates (val_accuracy)"):
        for trace in drawn[title].data:
            colors = [color for _, color in trace.marker.colorscale or ()] or [trace.line.color]
            for color in colors:
                assert max(map(int, re.findall(r"\d+", color))) < 200, (title, color)
