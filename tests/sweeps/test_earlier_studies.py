"""A narrowed or widened space begins a study with earlier trials that fit, and nothing equal is trained twice."""

from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from support import TINY, run_in

from housenumbers.sweeps.earlier_studies import earlier_studies, reusable_trials
from housenumbers.sweeps.first_trials import enqueue_first_trials
from housenumbers.sweeps.samplers import make_sampler
from housenumbers.sweeps.space import Space

FIXED = {"epochs": 3, "data.name": "digits", "model.name": "net", "model.blocks": [1, 1, 1]}
SAMPLER = {"_target_": "optuna.samplers.TPESampler", "seed": 1, "n_startup_trials": 4}


def made(database: Path, name: str, space: Space, *settings: dict[str, Any], **fixed: Any) -> optuna.Study:
    """A study as a sweep leaves it, with a trial of each setting; its value says which."""
    study = optuna.create_study(study_name=name, storage=f"sqlite:///{database}", direction="maximize")
    attributes = {
        "fixed": FIXED | fixed, "space": space.identity(), "directions": ["maximize"],
        "objectives": ["val_accuracy"], "overrides": [],
    }  # fmt: skip
    for key, value in attributes.items():
        study.set_user_attr(key, value)
    for number, setting in enumerate(settings):
        study.enqueue_trial(setting)
        trial = study.ask()
        space.draw(trial)
        trial.report(number / 20, 1)
        study.tell(trial, number / 10)
    return study


def rates(low: float, high: float) -> Space:
    return Space({"optimizer.lr": FloatDistribution(low, high, log=True)})


def fitting(study: optuna.Study, space: Space, **fixed: Any) -> list[dict[str, Any]]:
    return [trial.params for trial in reusable_trials(iter([study]), ["val_accuracy"], FIXED | fixed, space)]


def test_only_what_the_new_space_may_draw_fits(tmp_path: Path) -> None:
    settings = [{"optimizer.lr": rate} for rate in (0.01, 0.02, 0.05, 0.02)]
    study = made(tmp_path / "s.db", "s", rates(0.001, 0.1), *settings)
    assert fitting(study, rates(0.015, 1)) == [{"optimizer.lr": 0.02}, {"optimizer.lr": 0.05}]
    assert fitting(study, rates(0.001, 0.1), epochs=4) == []
    assert fitting(study, rates(0.2, 0.3)) == []
    assert fitting(study, Space({"seed": IntDistribution(1, 3)}), **{"optimizer.lr": 0.05}) == []
    choices = Space({"optimizer.lr": CategoricalDistribution([0.05, 0.07])})
    assert fitting(study, choices) == [{"optimizer.lr": 0.05}]


def test_a_key_that_was_fixed_may_be_searched_and_the_other_way_round(tmp_path: Path) -> None:
    space = Space({"optimizer.lr": FloatDistribution(0.001, 0.1), "data.batch_size": CategoricalDistribution([16, 32])})
    settings = [{"optimizer.lr": 0.01, "data.batch_size": size} for size in (16, 32)]
    study = made(tmp_path / "s.db", "s", space, *settings, seed=1)
    assert fitting(study, rates(0.001, 0.1), seed=1, **{"data.batch_size": 32}) == [{"optimizer.lr": 0.01}]
    wider = Space({**space.always, "seed": IntDistribution(0, 5)})
    assert fitting(study, wider) == [{**setting, "seed": 1} for setting in settings]
    narrower = Space({**space.always, "seed": IntDistribution(2, 5)})
    assert fitting(study, narrower) == []


def test_null_that_was_fixed_may_be_searched_and_the_other_way_round(tmp_path: Path) -> None:
    choices = Space({"clip_grad_norm": CategoricalDistribution(["null", 1])})
    searched = made(tmp_path / "s.db", "s", choices, {"clip_grad_norm": "null"}, **{"optimizer.lr": 0.01})
    fixed = made(tmp_path / "f.db", "f", rates(0.001, 0.1), {"optimizer.lr": 0.01}, clip_grad_norm=None)
    assert fitting(searched, rates(0.001, 0.1), clip_grad_norm=None) == [{"optimizer.lr": 0.01}]
    assert fitting(fixed, choices, **{"optimizer.lr": 0.01}) == [{"clip_grad_norm": "null"}]


def test_a_study_with_a_key_that_the_new_one_lacks_has_nothing_that_fits(tmp_path: Path) -> None:
    space = rates(0.001, 0.1)
    for number, (key, value) in enumerate({"keep_epoch": "last", "optimizer.amsgrad": True}.items()):
        study = made(tmp_path / f"{number}.db", "s", space, {"optimizer.lr": 0.01}, **{key: value})
        assert fitting(study, space) == []
        assert fitting(study, space, **{key: value}) == [{"optimizer.lr": 0.01}]
    older = made(tmp_path / "older.db", "s", space, {"optimizer.lr": 0.01}, keep_epoch="best")  # what absence means
    assert fitting(older, space) == [{"optimizer.lr": 0.01}]


def test_a_parameter_that_is_not_searched_any_more_had_another_value(tmp_path: Path) -> None:
    rate, momentum = FloatDistribution(0.001, 0.1), FloatDistribution(0.5, 0.99)
    setting = {"optimizer": "sgd", "optimizer.lr": 0.01, "optimizer.momentum": 0.8}
    with_momentum = Space(options={"optimizer": {"sgd": {"optimizer.lr": rate, "optimizer.momentum": momentum}}})
    study = made(tmp_path / "s.db", "s", with_momentum, setting)
    assert fitting(study, with_momentum) == [setting]
    assert fitting(study, Space(options={"optimizer": {"sgd": {"optimizer.lr": rate}}})) == []


def test_options_that_are_searched_fit_with_what_belongs_to_them(tmp_path: Path) -> None:
    inner = {
        "adam": {"optimizer.lr": FloatDistribution(0.001, 0.1)},
        "sgd": {"optimizer.lr": FloatDistribution(0.1, 1)},
    }
    settings = [{"optimizer": "adam", "optimizer.lr": 0.01}, {"optimizer": "sgd", "optimizer.lr": 0.5}]
    study = made(tmp_path / "s.db", "s", Space(options={"optimizer": dict(inner)}), *settings)
    assert fitting(study, Space(options={"optimizer": {"sgd": inner["sgd"]}})) == settings[1:]
    fewer = {"adam": {"optimizer.lr": FloatDistribution(0.05, 0.1)}, "sgd": inner["sgd"]}
    assert fitting(study, Space(options={"optimizer": fewer})) == settings[1:]


def test_what_follows_a_searched_key_fits_with_the_value_that_it_had(tmp_path: Path) -> None:
    space = Space({"seed": IntDistribution(1, 9)})
    study = made(tmp_path / "s.db", "s", space, {"seed": 1}, {"seed": 2}, **{"data.split_seed": "1"})
    study.set_user_attr("references", {"data.split_seed": "${seed}"})
    own = FIXED | {"data.split_seed": 1}

    def seeds(fixed: dict[str, Any], space: Space, **references: str) -> list[int | None]:
        found = reusable_trials(iter([study]), ["val_accuracy"], FIXED | fixed, space, references)
        return [trial.params.get("seed") for trial in found]

    assert seeds(own, space, **{"data.split_seed": "${seed}"}) == [1, 2]
    assert seeds(own, space) == [1]  # all on the split of seed 1
    rate = Space({"optimizer.lr": CategoricalDistribution([0.1])})
    assert seeds({"seed": 2, "data.split_seed": 2, "optimizer.lr": 0.1}, rate) == []
    lone = made(tmp_path / "l.db", "l", space, {"seed": 2}, **{"data.split_seed": 42, "optimizer.lr": 0.1})
    lone.set_user_attr("references", {"data.split_seed": "${seed}"})
    fixed = FIXED | {"seed": 2, "data.split_seed": 2}
    assert len(reusable_trials(iter([lone]), ["val_accuracy"], fixed, rate, {})) == 1


def test_other_objectives_and_times_are_not_taken_over(tmp_path: Path) -> None:
    study = made(tmp_path / "s.db", "s", rates(0.001, 0.1), {"optimizer.lr": 0.01})
    for objectives in (["val_loss"], ["train_seconds"], ["val_accuracy", "train_seconds"]):
        assert reusable_trials(iter([study]), objectives, FIXED, rates(0.001, 0.1)) == []


def test_a_study_that_another_program_made_has_nothing_that_fits(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/s.db", direction="maximize")
    study.optimize(lambda trial: trial.suggest_float("optimizer.lr", 0.001, 0.1), n_trials=2)
    assert fitting(study, rates(0.001, 0.1)) == []


def begun(study: optuna.Study, space: Space, folder: Path, earlier: list[FrozenTrial]) -> list[FrozenTrial]:
    enqueue_first_trials(
        study, space, folder, SAMPLER, partial(make_sampler, SAMPLER, space), 20, False, lambda: earlier
    )
    return study.get_trials(deepcopy=False)


def test_whenever_it_is_killed_each_trial_is_taken_over_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = rates(0.001, 0.1)
    old = made(tmp_path / "old.db", "old", space, *[{"optimizer.lr": rate} for rate in (0.01, 0.02, 0.03)])
    earlier = reusable_trials(iter([old]), ["val_accuracy"], FIXED, rates(0.015, 1))
    study = made(tmp_path / "new.db", "new", rates(0.015, 1))
    add, written = study.add_trial, []

    def add_or_die(trial: FrozenTrial) -> None:
        if written:
            raise SystemExit("killed")
        written.append(trial)
        add(trial)

    monkeypatch.setattr(study, "add_trial", add_or_die)
    with pytest.raises(SystemExit):
        begun(study, rates(0.015, 1), tmp_path, earlier)
    assert len(study.trials) == 1
    monkeypatch.undo()
    for _ in range(2):
        trials = begun(study, rates(0.015, 1), tmp_path, earlier)
        taken, drawn = trials[:2], trials[2:]
        assert [trial.user_attrs["taken_from"] for trial in taken] == [["old", 1], ["old", 2]]
        assert [(trial.value, trial.params["optimizer.lr"]) for trial in taken] == [(0.1, 0.02), (0.2, 0.03)]
        assert [trial.intermediate_values for trial in taken] == [{1: 0.05}, {1: 0.1}]
        assert [trial.state for trial in drawn] == [TrialState.WAITING] * 2  # the other two of four at random


def test_studies_of_other_models_and_data_are_not_looked_at(tmp_path: Path) -> None:
    for name in ("net_digits_a", "net_digits_b", "net_svhn_a", "mine"):
        (tmp_path / name).mkdir()
        made(tmp_path / name / "study.db", name, rates(0.001, 0.1))
    (tmp_path / "net_digits_a").rename(tmp_path / "net_digits_renamed")
    found = earlier_studies("net_digits_b", tmp_path / "net_digits_b", None, "net_digits_")
    assert [(study.study_name, folder.name) for study, folder in found] == [("net_digits_a", "net_digits_renamed")]


WORDS = (
    "-m", "hydra/sweeper=optuna", *TINY, "epochs=1", "scheduler.step_size=1", "scheduler.gamma=0.5",
    "data.batch_size=32", "hydra/sweeper/pruner=none",
)  # fmt: skip


@pytest.mark.slow
def test_a_widened_and_a_narrowed_space_train_only_what_is_new(tmp_path: Path) -> None:
    def search(*words: str) -> list[str]:
        done = run_in(tmp_path, "train", *WORDS, *words)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.splitlines()

    search("optimizer.lr=choice(0.001,0.01)", "hydra/sweeper/sampler=grid")
    (first,) = (tmp_path / "multirun").iterdir()
    search("optimizer.lr=choice(0.001,0.01,0.02)", "hydra/sweeper/sampler=grid")
    said = search("optimizer.lr=choice(0.01,0.02)", "hydra.sweeper.n_trials=2")
    assert any(line.startswith("2 trials taken over from ") for line in said)
    assert any("raise hydra.sweeper.n_trials" in line for line in said)
    assert any("2 of 2 trials done" in line for line in said)
    second, third = sorted(
        (path for path in (tmp_path / "multirun").iterdir() if path != first), key=lambda path: path.stat().st_ctime
    )
    assert {path.name.rpartition("_")[0] for path in (second, third)} == {first.name}
    ran = {path: len(list(path.glob("trial_*/run.json"))) for path in (first, second, third)}
    assert ran == {first: 2, second: 1, third: 0}
    values = {}
    for folder in (first, second, third):
        study = optuna.load_study(study_name=folder.name, storage=f"sqlite:///{folder}/study.db")
        for trial in study.trials:
            assert values.setdefault(trial.params["optimizer.lr"], trial.values) == trial.values
    assert run_in(tmp_path, "report", f"study={third.name}").returncode == 0
    assert (third / "report.html").is_file()


@pytest.mark.slow
def test_a_setting_that_is_drawn_twice_is_trained_once(tmp_path: Path) -> None:
    drawn = ("optimizer.lr=choice(0.001,0.01)", "hydra/sweeper/sampler=random", "hydra.sweeper.n_trials=6")
    done = run_in(tmp_path, "train", *WORDS, *drawn, "hydra.sweeper.study_name=s")
    assert done.returncode == 0, done.stderr
    trials = optuna.load_study(study_name="s", storage=f"sqlite:///{tmp_path}/multirun/s/study.db").trials
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 6
    first: dict[float, FrozenTrial] = {}
    for trial in trials:
        equal = first.setdefault(trial.params["optimizer.lr"], trial)
        assert (trial.values, trial.intermediate_values) == (equal.values, equal.intermediate_values)
        assert trial.user_attrs.get("taken_from") == (None if equal is trial else ["s", equal.number])
    assert len(list(tmp_path.glob("multirun/s/trial_*/run.json"))) == len(first) <= 2
    assert "which is equal" in done.stdout
