"""Every sampler and pruner that can be chosen works, or says at once what it lacks."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import hydra_plugins.hydra_optuna_sweeper.config  # which knows its samplers
import optuna
import pytest
import yaml
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf
from optuna.trial import TrialState
from support import ROOT, run_in, sweep

import hydra_plugins.housenumbers_sweeper  # noqa: F401 (it removes a sampler that Optuna no longer has)
from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.heartbeat import discard_trial
from housenumbers.sweeps.samplers import check_sampler, make_pruner, make_sampler
from housenumbers.sweeps.space import Space, read_space
from housenumbers.sweeps.study import find_study

SAMPLERS = sorted(name.removesuffix(".yaml") for name in ConfigStore.instance().list("hydra/sweeper/sampler"))
PRUNERS = sorted(path.stem for path in (ROOT / "conf/hydra/sweeper/pruner").glob("*.yaml"))
DOCUMENTED = ["tpe", "random", "cmaes", "gp", "qmc", "grid", "nsgaii", "nsgaiii"]


def space(*more: str) -> Space:
    return read_space({}, ["data.batch_size=choice(16,32)", "scheduler.step_size=range(1,5)", *more])[0]


def options(name: str) -> dict[str, Any]:
    stored = ConfigStore.instance().load(f"hydra/sweeper/sampler/{name}.yaml").node
    found: Any = OmegaConf.to_container(OmegaConf.structured(stored))
    return found


def said_of(name: str, searched: Space, directions: list[str]) -> str | None:
    try:
        check_sampler(options(name), name, searched, directions)
    except UserError as error:
        return str(error)
    return None


def test_all_documented_samplers_are_there_and_the_others_documented() -> None:
    assert set(DOCUMENTED) == set(SAMPLERS)
    text = (ROOT / "docs/sweep.md").read_text()
    assert all(f"`{name}`" in text for name in DOCUMENTED)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_can_do_it_or_says_what_it_lacks(name: str) -> None:
    said = said_of(name, space(), ["maximize"])
    if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
        assert said == "hydra/sweeper/sampler=cmaes: needs the package cmaes: pip install -e '.[cmaes]'"
    else:
        assert said is None


def test_a_sampler_that_does_not_suit_the_search_says_so() -> None:
    if importlib.util.find_spec("cmaes") is not None:
        assert "multi-objective" in str(said_of("cmaes", space(), ["maximize", "minimize"]))
    intervals = space("optimizer.lr=interval(0.001,0.1)")
    assert "give choices or ranges, no intervals" in str(said_of("grid", intervals, ["maximize"]))
    bad = {**options("tpe"), "n_ei_candidates": "many", "n_startup_trials": 1}
    with pytest.raises(UserError, match="hydra/sweeper/sampler=tpe: "):
        check_sampler(bad, "tpe", space(), ["maximize"])


@pytest.mark.parametrize("state", [TrialState.PRUNED, TrialState.FAIL])
def test_the_last_trial_of_a_grid_may_end_in_any_way(state: TrialState) -> None:
    """Optuna's grid stops the study then, which is an error outside of its `optimize`."""
    study = optuna.create_study(sampler=make_sampler(options("grid"), read_space({}, ["a=choice(1,2)"])[0]))
    for _ in range(2):
        trial = study.ask()
        trial.suggest_categorical("a", [1, 2])
        trial.report(0.5, 1)
        study.tell(trial, state=state)
    assert sorted(trial.params["a"] for trial in study.trials) == [1, 2]


def test_a_discarded_trial_leaves_its_place_in_the_grid_to_another() -> None:
    study = optuna.create_study(sampler=make_sampler(options("grid"), read_space({}, ["a=choice(1,2,3)"])[0]))
    discard_trial(study, study.ask()._trial_id)
    for _ in range(3):
        trial = study.ask()
        study.tell(trial, trial.suggest_categorical("a", [1, 2, 3]))
    assert sorted(trial.params["a"] for trial in study.trials if trial.params) == [1, 2, 3]


@pytest.mark.slow
def test_a_scrambled_sequence_goes_on_where_it_was(tmp_path: Path) -> None:
    found = []
    for calls in (4,), (2, 4):
        home = tmp_path / str(len(calls))
        home.mkdir()
        for n_trials in calls:
            words = ("hydra/sweeper/sampler=qmc", "hydra.sweeper.sampler.scramble=true", "epochs=1")
            done = sweep(home, *words, f"hydra.sweeper.n_trials={n_trials}", "data.batch_size=range(16,33)")
            assert done.returncode == 0, done.stderr
        found.append([trial.params for trial in find_study(str(home / "multirun/s"))[0].trials])
    assert found[0] == found[1]


@pytest.mark.parametrize("name", PRUNERS)
def test_each_pruner_can_be_made(name: str) -> None:
    chosen = yaml.safe_load((ROOT / f"conf/hydra/sweeper/pruner/{name}.yaml").read_text())
    chosen = {key: 9 if value == "${epochs}" else value for key, value in chosen.items()}
    assert make_pruner(chosen)
    with pytest.raises(UserError, match=r"hydra\.sweeper\.pruner: "):
        make_pruner({**chosen, "patience_of": 3})


def test_no_pruner_prunes_nothing() -> None:
    study = optuna.create_study()
    study.pruner = make_pruner(None)
    trial = study.ask()
    trial.report(0.5, 1)
    assert not trial.should_prune()


@pytest.mark.parametrize("name", ["qmc", "nsgaiii"])
def test_an_experimental_sampler_warns_of_nothing(name: str) -> None:
    with warnings.catch_warnings(action="error"):
        make_sampler(options(name), space())


@pytest.mark.parametrize("nested", [False, True])
def test_samplers_and_pruners_may_be_the_ones_that_the_user_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nested: bool
) -> None:
    code = "import optuna\nclass S(optuna.samplers.RandomSampler): pass\nclass P(optuna.pruners.NopPruner): pass\n"
    (tmp_path / "my_search.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    sampler, pruner = {"_target_": "my_search.S"}, {"_target_": "my_search.P"}
    if nested:
        sampler = {"_target_": "optuna.samplers.QMCSampler", "independent_sampler": sampler}
        pruner = {"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": pruner, "patience": 1}
    advice = r"may not call this: if you trust it, set HOUSENUMBERS_ALLOW=my_search\."
    with pytest.raises(UserError, match=rf"hydra\.sweeper\.sampler: my_search\.S: .*{advice}S"):
        check_sampler(sampler, "tpe", space(), ["maximize"])
    with pytest.raises(UserError, match=rf"hydra\.sweeper\.pruner: my_search\.P: .*{advice}P"):
        make_pruner(pruner)
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "my_search.*")
    check_sampler(sampler, "tpe", space(), ["maximize"])
    assert make_pruner(pruner)


def test_another_object_is_no_pruner_and_no_sampler() -> None:
    with pytest.raises(UserError, match=r"hydra\.sweeper\.pruner: is not a pruner"):
        make_pruner({"_target_": "optuna.samplers.RandomSampler"})
    with pytest.raises(UserError, match=r"hydra\.sweeper\.sampler: is not a sampler"):
        check_sampler({"_target_": "optuna.pruners.NopPruner"}, "tpe", space(), ["maximize"])


def test_what_a_sampler_lacks_is_said_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "cmaes.py").write_text("raise ModuleNotFoundError(\"No module named 'cmaes'\", name='cmaes')\n")
    words = ("-m", "hydra/sweeper=optuna", "data=digits", "hydra/sweeper/sampler=cmaes", "hydra.sweeper.study_name=s")
    done = run_in(tmp_path, "train", *words, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == "error: hydra/sweeper/sampler=cmaes: needs the package cmaes: pip install -e '.[cmaes]'"
    assert not (tmp_path / "multirun").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*DOCUMENTED, *(f"{name} pruner" for name in PRUNERS)])
def test_each_option_runs_a_whole_search(name: str, tmp_path: Path) -> None:
    if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
        pytest.skip("needs the extra .[cmaes]")
    chosen = f"hydra/sweeper/pruner={name.split()[0]}" if "pruner" in name else f"hydra/sweeper/sampler={name}"
    discrete = ("optimizer.lr=choice(0.001,0.01)", "scheduler.gamma=choice(0.1,0.5)")
    done = sweep(tmp_path, chosen, *discrete, "hydra.sweeper.n_trials=3", "epochs=2")
    assert done.returncode == 0, done.stderr
    assert "3 of 3" not in done.stdout
    assert done.stdout.count("trial ") >= 4  # a line for each, and one for the best
