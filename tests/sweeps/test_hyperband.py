"""Hyperband's brackets follow from the seed and a trial's place, so that a sweep repeats under another name."""

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from support import sweep

from housenumbers.sweeps.hyperband import SeededHyperbandPruner
from housenumbers.sweeps.samplers import make_pruner

OPTIONS = {"_target_": "optuna.pruners.HyperbandPruner", "min_resource": 1, "max_resource": 27, "reduction_factor": 3}


def brackets(name: str, seed: int, continues: dict[int, int] | None = None, trials: int = 40) -> list[int]:
    """The bracket of each trial of a study, of which some continue an interrupted one."""
    pruner = make_pruner(OPTIONS, seed)
    assert isinstance(pruner, SeededHyperbandPruner)
    study = optuna.create_study(study_name=name, pruner=pruner)
    for number in range(trials):
        earlier = (continues or {}).get(number)
        attributes = {} if earlier is None else {"continues": earlier}
        study.add_trial(create_trial(state=TrialState.COMPLETE, value=0.5, user_attrs=attributes))
    pruner.prune(study, study.trials[0])  # makes the brackets
    return [pruner._get_bracket_id(study, trial) for trial in study.trials]


def test_brackets_follow_from_the_seed_alone() -> None:
    assert brackets("a", 42) == brackets("another", 42)
    assert brackets("a", 42) != brackets("a", 43)
    assert set(brackets("a", 42, trials=400)) == {0, 1, 2, 3}


def test_an_interruption_changes_no_bracket() -> None:
    whole = brackets("a", 42)
    broken = brackets("a", 42, continues={4: 2, 5: 4, 9: 7})
    assert broken[:4] == whole[:4]
    assert broken[4] == broken[5] == whole[2]
    assert broken[6:9] == whole[4:7]
    assert broken[9] == whole[5]
    assert broken[10:] == whole[7:37]


def test_hyperband_inside_of_another_pruner_is_seeded_too() -> None:
    patient = make_pruner({"_target_": "optuna.pruners.PatientPruner", "wrapped_pruner": OPTIONS, "patience": 1}, 42)
    assert isinstance(patient, optuna.pruners.PatientPruner)
    assert isinstance(patient._wrapped_pruner, SeededHyperbandPruner)


@pytest.mark.slow
def test_a_sweep_repeats_under_another_name_and_folder(tmp_path: Path) -> None:
    found = []
    for name in ("s", "another"):
        home = tmp_path / name
        home.mkdir()
        words = ("hydra/sweeper/pruner=hyperband", "hydra.sweeper.n_trials=8", "epochs=9", "data.reduce=0.1")
        done = sweep(home, *words, f"hydra.sweeper.study_name={name}", "hydra.sweeper.sampler.n_startup_trials=4")
        assert done.returncode == 0, done.stderr
        study = optuna.load_study(study_name=name, storage=f"sqlite:///{home}/multirun/{name}/study.db")
        found.append([(trial.params, trial.state, trial.intermediate_values) for trial in study.trials])
    assert found[0] == found[1]
    assert TrialState.PRUNED in {state for _, state, _ in found[0]}
