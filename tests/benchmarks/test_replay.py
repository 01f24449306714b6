"""Recorded curves and their replay: on a small table made by a formula, and recorded by a few short trainings."""

import json
import lzma
import re
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json
from support import REAL_SVHN, ROOT, environment

sys.path.append(str(ROOT / "benchmarks"))  # last: no module there hides ours

from curve_table import CurveTable
from curves import TASKS
from replay import search
from settings import at_quantile, sobol_settings
from surrogate import Surrogate

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.space import read_space

EPOCHS = 6


def made_table(diverged: int = 0) -> CurveTable:
    """Accuracies up to 0.9 at lr 0.01, with batches of 16, at twice the cost. The first `diverged` settings diverge."""
    space = {
        "optimizer.lr": FloatDistribution(1e-4, 1.0, log=True),
        "data.batch_size": CategoricalDistribution((16, 64)),
    }
    settings = [
        {"optimizer.lr": 10 ** (-4 + number / 10), "data.batch_size": size} for number in range(41) for size in (16, 64)
    ]
    curves = []
    for number, setting in enumerate(settings):
        distance = abs(number // 2 - 20) / 20
        final = 0.9 - 0.6 * distance - (0.02 if setting["data.batch_size"] == 64 else 0)
        epochs = 2 if number < diverged else EPOCHS
        accuracy = [final * (1 - 0.5**epoch) for epoch in range(1, epochs + 1)]
        cost = 2.0 if setting["data.batch_size"] == 16 else 1.0
        one = {"val_accuracy": accuracy, "val_loss": [1.0] * epochs, "seconds": [cost] * epochs}
        curves.append([one, one])
    plain = {key: json.loads(distribution_to_json(value)) for key, value in space.items()}
    return CurveTable("made", ["epochs=6"], "no machine", EPOCHS, plain, settings, curves)


def replay(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/replay.py", *words]
    return subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "made.json.xz"
    table = made_table()
    table.write(file)
    assert CurveTable.read(file) == table


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("space"),
        lambda content: content["curves"].pop(),
        lambda content: content["curves"][0].pop(),
        lambda content: content["curves"][0][0]["seconds"].pop(),
        lambda content: content.update(format=2),
        lambda content: content.update(epochs=1),
        lambda content: content["settings"][3].pop("data.batch_size"),
    ],
)
def test_a_damaged_table_is_one_line(change: Any, tmp_path: Path) -> None:
    file = tmp_path / "made.json.xz"
    made_table().write(file)
    content = json.loads(lzma.decompress(file.read_bytes()))
    change(content)
    file.write_bytes(lzma.compress(json.dumps(content).encode()))
    with pytest.raises(UserError, match=re.escape(str(file))):
        CurveTable.read(file)


def test_a_group_may_be_written_as_a_parameter_beside_its_options(tmp_path: Path) -> None:
    table = made_table()
    momentum = {"optimizer.momentum": {"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 0.9}}}
    choices = {"name": "CategoricalDistribution", "attributes": {"choices": ["adam", "sgd"]}}
    settings = [{**setting, "optimizer": "adam"} for setting in table.settings]
    whole = replace(table, settings=settings, space=table.space | {"optimizer=sgd": momentum, "optimizer=adam": {}})
    short = replace(whole, space=table.space | {"optimizer": choices, "optimizer=sgd": momentum})
    read = []
    for number, one in enumerate((whole, short)):
        one.write(file := tmp_path / f"{number}.json.xz")
        read.append(CurveTable.read(file))
    assert read[0] == read[1]


def test_only_settings_with_all_seeds_are_kept() -> None:
    curve = {"val_accuracy": [0.123456], "val_loss": [1.0], "seconds": [0.12345]}
    settings = [{"a": 1}, {"a": 2}]
    table = CurveTable.of("t", [], "m", {}, settings, {(0, 0): curve, (0, 1): None, (1, 0): curve, (1, 1): curve})
    assert table.settings == [{"a": 2}]
    assert table.curves[0][0] == {"val_accuracy": [0.1235], "val_loss": [1.0], "seconds": [0.123]}


def test_values_at_quantiles_keep_the_scale() -> None:
    assert at_quantile(FloatDistribution(1e-4, 1e-2, log=True), 0.5) == pytest.approx(1e-3)
    assert at_quantile(FloatDistribution(1, 3), 0.5) == 2
    assert [at_quantile(IntDistribution(5, 20, step=5), at) for at in (0, 0.3, 0.999)] == [5, 10, 20]
    assert [at_quantile(IntDistribution(1, 100, log=True), at) for at in (0, 0.5, 0.999)] == [1, 7, 100]
    assert [at_quantile(FloatDistribution(0.5, 1, step=0.25), at) for at in (0, 0.5, 0.999)] == [0.5, 0.75, 1]
    assert [at_quantile(CategoricalDistribution((16, 32)), at) for at in (0, 0.49, 0.5)] == [16, 16, 32]


@pytest.mark.parametrize("name", TASKS)
def test_the_settings_of_a_task_lie_in_its_space_and_differ(name: str) -> None:
    task = TASKS[name]
    space, _, _ = read_space({**task.space, "choose": task.groups}, [])
    settings = [dict(task.start), *sobol_settings(space, 99)]
    assert all(space.setting(setting) == setting for setting in settings)
    assert len({json.dumps(setting) for setting in settings}) == 100
    assert sobol_settings(space, 49) == settings[1:50]  # more of them later


def test_the_surrogate_returns_about_what_is_recorded_and_what_lies_between() -> None:
    table = made_table()
    surrogate = Surrogate(table)
    for setting, curves in zip(table.settings, table.curves, strict=True):
        training = surrogate.training(setting, 0)
        assert training.accuracies == pytest.approx(curves[0]["val_accuracy"], abs=0.03)
        assert training.seconds == pytest.approx(curves[0]["seconds"], rel=0.1)
    lower, between, higher = surrogate.truths([{**table.settings[0], "optimizer.lr": lr} for lr in (1e-3, 2e-3, 4e-3)])
    assert lower < between < higher
    assert surrogate.best == pytest.approx(0.9 * (1 - 0.5**EPOCHS), abs=0.02)
    assert surrogate.errors() == (pytest.approx(0, abs=0.02), 0)


def test_the_noise_of_a_training_is_that_between_the_seeds() -> None:
    table = made_table()
    for one in table.curves:
        higher = [value + 0.02 for value in one[0]["val_accuracy"]]
        one[1] = {**one[0], "val_accuracy": higher}
    surrogate = Surrogate(table)
    settings = [{"optimizer.lr": 1e-3 + number * 1e-6, "data.batch_size": 16} for number in range(200)]
    finals = [float(surrogate.training(setting, 0).accuracies[-1]) for setting in settings]
    assert statistics.stdev(finals) == pytest.approx(0.02 / 2**0.5, rel=0.3)
    assert finals[0] == float(surrogate.training(settings[0], 0).accuracies[-1])
    assert {float(surrogate.training(settings[0], seed).accuracies[-1]) for seed in range(20)} != {finals[0]}
    assert surrogate.errors()[1] == pytest.approx(0.02 / 2**0.5)


def test_time_is_that_of_the_trainings_of_all_workers() -> None:
    surrogate = Surrogate(made_table())
    one = search(surrogate, "random", 0, 1, until=200)
    assert one.completed[0] == pytest.approx(6 * 1, rel=0.2) or one.completed[0] == pytest.approx(6 * 2, rel=0.1)
    assert 200 / 12 - 1 <= len(one.completed) <= 200 / 6
    two = search(surrogate, "random", 0, 2, until=200)
    assert len(two.completed) > 1.6 * len(one.completed)
    assert one.regret == sorted(one.regret, reverse=True)  # equal seeds, so that what is seen is what is true


def test_a_diverged_training_ends_early_and_completes_nothing() -> None:
    table = made_table(diverged=82)
    found = search(Surrogate(table), "ours", 0, 1, until=100)
    assert found.completed == found.regret == []


def test_searches_are_compared_and_drawn(tmp_path: Path) -> None:
    file = tmp_path / "made.json.xz"
    made_table().write(file)
    done = replay(
        f"table={file}", "seeds=6", "trials=20", "only=ours,first_epochs,gp", f"figure={tmp_path}", "workers=2"
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^\| (\w+) \| ([\d.]+)% \(", done.stdout, re.MULTILINE)
    assert [name for name, _ in rows] == ["stock", "ours", "first_epochs", "gp"]
    assert "| stock | " in done.stdout
    assert "1.00 (" in done.stdout  # the stock search beside itself
    assert (tmp_path / "made_2.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(not REAL_SVHN.exists(), reason="needs the real crops")
def test_curves_are_recorded_once(tmp_path: Path) -> None:
    file = tmp_path / "t.json.xz"
    words = ["task=optimizers", "seeds=1", "epochs=1", "data.reduce=0.05", f"folder={tmp_path}", f"file={file}"]
    command = [sys.executable, "benchmarks/curves.py", *words, f"data.root={REAL_SVHN}"]
    for count in (2, 3):
        subprocess.run([*command, f"settings={count}"], cwd=ROOT, env=environment(), check=True, timeout=600)
        notes = (tmp_path / "optimizers.jsonl").read_text().split("\n")
        assert sum(map(bool, notes)) == count
        table = CurveTable.read(file)
        assert len(table.settings) == count
        assert table.epochs == 1
        assert not any("data.root" in word for word in table.fixed)


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks/curves").glob("*.json.xz")), ids=lambda file: file.name)
def test_the_tables_in_the_repository_are_of_their_tasks(file: Path) -> None:
    table = CurveTable.read(file)
    task = TASKS[table.task]
    space, _, _ = read_space({**task.space, "choose": task.groups}, [])
    assert table.space == space.identity()
    assert table.settings == [dict(task.start), *sobol_settings(space, len(table.settings) - 1)]
    assert len(table.settings) >= 400
    assert {len(one) for one in table.curves} == {2}
    assert set(task.fixed) <= set(table.fixed)
    assert file.stat().st_size < 1_000_000
