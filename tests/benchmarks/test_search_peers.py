"""The searches of other libraries, each on trainings that are computed by a formula, where the library is installed."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json
from support import ROOT, environment

sys.path.append(str(ROOT / "benchmarks"))  # last: no module there hides ours

import search_peers
from curve_table import CurveTable
from flat_space import FlatSpace, Parameter
from replay import search
from search_peers import PEERS, installed, prepare
from searchers import Given
from surrogate import Surrogate

from housenumbers.sweeps.space import Space

EPOCHS = 9
REPEATS = {"syne_ashacqr", "priorband"}  # they may propose a setting again, as a new training
RESUMES = {"smac", "priorband"}  # the searches that pause a training and go on with it later
SPACE = Space(
    {
        "data.batch_size": CategoricalDistribution([16, 32, 64]),
        "scheduler.step_size": IntDistribution(5, 20, step=5),
        "model.width": IntDistribution(4, 64, log=True),
        "label_smoothing": FloatDistribution(0.0, 0.3),
        "model.channels": CategoricalDistribution(["[8,16]"]),
    },
    {
        "optimizer": {
            "adam": {"optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True)},
            "sgd": {
                "optimizer.lr": FloatDistribution(1e-2, 1.0, log=True),
                "optimizer.momentum": CategoricalDistribution([0.8, 0.9]),
            },
        }
    },
)
START = {
    "data.batch_size": 16, "scheduler.step_size": 10, "model.width": 16, "label_smoothing": 0.1,
    "model.channels": "[8,16]", "optimizer": "adam", "optimizer.lr": 1e-3,
}  # fmt: skip


class Stretch(NamedTuple):
    """What a worker has trained without a break: from the epoch that the search gave it."""

    setting: dict[str, Any]
    first: int
    last: int
    best: float


def accuracy(setting: dict[str, Any], epoch: int) -> float:
    worse = setting.get("label_smoothing", 0) + (0.1 if setting.get("optimizer") == "sgd" else 0)
    return (0.9 - worse) * (1 - 0.7**epoch)


def stretches(name: str, given: Given, count: int) -> list[Stretch]:
    """The first trainings of a search, by two workers that take turns, an epoch each."""
    prepare(name)
    searcher = PEERS[name].make(given)
    done: list[Stretch] = []
    running: list[tuple[Any, int]] = []
    while len(done) < count:
        while len(running) < 2:
            job = searcher.ask()
            running.append((job, job.epoch))
        job, first = running.pop(0)
        job.epoch += 1
        job.best = max(job.best, accuracy(job.setting, job.epoch))
        goes_on = job.epoch < given.epochs and searcher.goes_on(job)
        if job.epoch == given.epochs:
            searcher.end(job, diverged=False)
        if goes_on:
            running.append((job, first))
        else:
            done.append(Stretch(job.setting, first, job.epoch, job.best))
    return done


@pytest.fixture(scope="module", params=PEERS)
def name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(PEERS[request.param].package)
    return request.param


@pytest.fixture(scope="module")
def done(name: str, tmp_path_factory: pytest.TempPathFactory) -> list[Stretch]:
    return stretches(name, Given(SPACE, START, EPOCHS, 0, tmp_path_factory.mktemp("done")), 45)


def test_the_settings_of_a_search_lie_in_the_space(done: list[Stretch]) -> None:
    assert all(SPACE.setting(one.setting) == one.setting for one in done)
    assert {one.setting["optimizer"] for one in done} == {"adam", "sgd"}


def test_a_training_is_paid_once(name: str, done: list[Stretch]) -> None:
    trained: dict[str, Stretch] = {}
    for one in done:
        key = json.dumps(one.setting)
        left = trained.get(key)
        assert one.first == (left.last if left else 0) or (name in REPEATS and one.first == 0)
        assert one.first < one.last <= EPOCHS
        assert not one.first or one.best >= left.best
        trained[key] = one
    assert any(one.last == EPOCHS for one in trained.values())
    assert any(one.last < EPOCHS for one in trained.values())
    assert any(one.first for one in done) == (name in RESUMES)


def test_a_seed_repeats_a_search(name: str, done: list[Stretch], tmp_path: Path) -> None:
    assert stretches(name, Given(SPACE, START, EPOCHS, 0, tmp_path / "same"), 15) == done[:15]
    assert stretches(name, Given(SPACE, START, EPOCHS, 1, tmp_path / "other"), 5) != done[:5]


def test_a_search_tries_the_composed_configuration(done: list[Stretch]) -> None:
    assert any(one.setting == pytest.approx(START) for one in done)


def test_a_configuration_outside_the_space_is_no_start(name: str, tmp_path: Path) -> None:
    done = stretches(name, Given(SPACE, {**START, "optimizer.lr": 0.5}, EPOCHS, 0, tmp_path), 5)
    assert all(SPACE.setting(one.setting) == one.setting for one in done)


def test_a_search_goes_on_when_it_has_tried_everything(name: str, tmp_path: Path) -> None:
    space = Space({}, {"optimizer": {"adam": {}, "sgd": {"optimizer.momentum": CategoricalDistribution([0.8, 0.9])}}})
    done = stretches(name, Given(space, {"optimizer": "adam"}, EPOCHS, 0, tmp_path), 20)
    assert len({json.dumps(one.setting) for one in done}) == 3


def test_trainings_may_have_a_single_epoch(name: str, tmp_path: Path) -> None:
    done = stretches(name, Given(SPACE, START, 1, 0, tmp_path), 10)
    assert {(one.first, one.last) for one in done} == {(0, 1)}


def test_a_search_is_replayed_though_half_of_the_trainings_diverge(name: str) -> None:
    settings = [
        {**START, "label_smoothing": number / 50, "optimizer.lr": 10 ** (-4 + number / 8)} for number in range(16)
    ]
    curves = []
    for setting in settings:
        epochs = EPOCHS if setting["optimizer.lr"] < 1e-3 else 2
        curve = [accuracy(setting, epoch) for epoch in range(1, epochs + 1)]
        curves.append([{"val_accuracy": curve, "val_loss": [1.0] * epochs, "seconds": [100.0] * epochs}])
    plain = {key: json.loads(distribution_to_json(value)) for key, value in SPACE.always.items()}
    plain["optimizer=adam"] = {
        key: json.loads(distribution_to_json(value)) for key, value in SPACE.options["optimizer"]["adam"].items()
    }
    found = search(Surrogate(CurveTable("made", [], "none", EPOCHS, plain, settings, curves)), name, 0, 2, until=3000)
    assert found.completed
    assert found.regret == sorted(found.regret, reverse=True)


@pytest.mark.parametrize(
    "distribution",
    [
        CategoricalDistribution([16, None, "[1,2]"]),
        IntDistribution(5, 20, step=5),
        IntDistribution(-3, 4),
        IntDistribution(1, 100, log=True),
        FloatDistribution(0.1, 0.9, step=0.2),
        FloatDistribution(-1.0, 1.0),
        FloatDistribution(1e-4, 0.3, log=True),
    ],
)
def test_a_parameter_comes_back_as_it_was(distribution: Any) -> None:
    one = Parameter("key", distribution)
    numbers = [*range(one.count)] if one.count else [*one.bounds, one.middle]
    values = [one.value(number) for number in numbers]
    assert all(distribution._contains(distribution.to_internal_repr(value)) for value in values)
    assert [one.value(one.number(value)) for value in values] == pytest.approx(values)
    ends = distribution.choices if one.is_choice else (distribution.low, distribution.high)
    assert values[0] == pytest.approx(ends[0])
    assert ends[-1] == pytest.approx(values[1 if one.count is None else -1])


def test_parameters_of_other_options_are_ignored() -> None:
    flat = FlatSpace(SPACE)
    assert "model.channels" not in flat.parameters  # there is nothing to search
    everything = {name: one.middle for name, one in flat.parameters.items()}
    assert flat.setting(everything | flat.numbers(START)) == pytest.approx(START)
    assert flat.setting(everything | {"optimizer": 1})["optimizer.momentum"] == 0.8
    assert "optimizer.momentum" not in flat.setting(everything | {"optimizer": 0})


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(
        search_peers, "find_spec", lambda package: None if package == "syne_tune" else find_spec(package)
    )
    assert installed(["stock", "syne_asha", "ours", "syne_bohb"]) == ["stock", "ours"]
    line = "syne_asha, syne_bohb: left out, because Syne Tune is not installed: pip install -e '.[search-peers]'\n"
    assert capsys.readouterr().out == line


def test_help_names_the_searches_without_their_libraries() -> None:
    command = [sys.executable, "benchmarks/replay.py", "only=x"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert all(name in done.stderr for name in PEERS)
