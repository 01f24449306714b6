"""Brackets of Hyperband that repeat under another name, and rungs of halving that no interruption changes."""

from pathlib import Path

import optuna
import pytest
from omegaconf import OmegaConf
from optuna.trial import TrialState, create_trial
from support import Command, sweep

from housenumbers.sweeps.heartbeat import record_owner, requeue_dead_trials
from housenumbers.sweeps.pruners import HalvingPruner, SeededHyperbandPruner, pruner_options
from housenumbers.sweeps.samplers import make_pruner
from housenumbers.sweeps.space import read_space

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


HALVING = {"_target_": "optuna.pruners.SuccessiveHalvingPruner", "min_resource": 2, "reduction_factor": 2}


@pytest.mark.parametrize("options", [HALVING, OPTIONS | {"max_resource": 10}])
def test_an_interruption_changes_no_decision(tmp_path: Path, options: dict) -> None:
    """Each trial gets better by its slope in every epoch; the first one is killed after epoch 8 and goes on."""

    def ended(dies: bool, slopes: tuple[float, ...] = (0.06, 0.065, 0.03, 0.07)) -> list[int]:
        storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/{dies}.db", heartbeat_interval=1, grace_period=60)
        study = optuna.create_study(study_name="s", storage=storage, direction="maximize")
        study.pruner = make_pruner(options, 3)
        last = []
        for slope in [slopes[0], *slopes] if dies else slopes:
            trial = study.ask()
            trial.suggest_float("slope", slope, slope + 1e-9)
            record_owner(trial)
            began = trial.user_attrs.get("continues_after", 0)
            pruned = False
            for epoch in range(1, 11):
                trial.report(epoch * slope, epoch)
                if dies and trial.number == 0 and epoch == 8:
                    break
                pruned = began <= epoch < 10 and trial.should_prune()
                if pruned:
                    break
            if dies and trial.number == 0:
                host, process, created = trial.user_attrs["owner"]
                trial.set_user_attr("owner", [host, process, created - 1])  # an earlier process, which is gone
                assert requeue_dead_trials(study) == [0]
            else:
                last.append(epoch)
                study.tell(trial, None if pruned else 10 * slope, TrialState.PRUNED if pruned else TrialState.COMPLETE)
        return last

    assert ended(dies=True) == ended(dies=False)


def test_optunas_halving_is_replaced_by_whatever_name() -> None:
    for module in ("optuna.pruners", "optuna.pruners._successive_halving"):
        assert isinstance(make_pruner(HALVING | {"_target_": f"{module}.SuccessiveHalvingPruner"}), HalvingPruner)


@pytest.mark.slow
def test_a_sweep_repeats_under_another_name_and_folder(tmp_path: Path) -> None:
    found = []
    for name in ("s", "another"):
        home = tmp_path / name
        home.mkdir()
        words = ("hydra/sweeper/pruner=hyperband", "hydra.sweeper.n_trials=12", "epochs=9", "data.reduce=0.1")
        done = sweep(home, *words, f"hydra.sweeper.study_name={name}", "hydra.sweeper.sampler.n_startup_trials=4")
        assert done.returncode == 0, done.stderr
        study = optuna.load_study(study_name=name, storage=f"sqlite:///{home}/multirun/{name}/study.db")
        found.append([(trial.params, trial.state, trial.intermediate_values) for trial in study.trials])
    assert found[0] == found[1]
    assert TrialState.PRUNED in {state for _, state, _ in found[0]}


@pytest.mark.parametrize(("searched", "most"), [([], 4), (["epochs=range(2,7)"], 6), (["++epochs=choice(2,7,3)"], 7)])
def test_an_option_follows_the_epochs_of_the_trials(searched: list[str], most: int) -> None:
    pruner = OPTIONS | {"max_resource": "${epochs}"}
    composed = OmegaConf.create({"epochs": 4, "hydra": {"sweeper": {"pruner": pruner}}})
    space, _, _ = read_space({}, [*searched, "optimizer=choice(adam,sgd)"])
    made = make_pruner(pruner_options(composed, space), 42)
    assert isinstance(made, SeededHyperbandPruner)
    assert made._max_resource == most
    assert composed.epochs == 4


def test_an_option_follows_a_value_of_the_search_space(command: Command) -> None:
    words = ("hydra.sweeper.pruner.reduction_factor=${epochs}", "+hydra.sweeper.params.epochs=1")
    refused = ("hydra.sweeper.study_name=s", "hydra.sweeper.storage=sqlite:////nowhere/s.db")
    done = command("train", "-m", "hydra/sweeper=optuna", *words, *refused)
    assert done.returncode == 2
    assert "hydra.sweeper.pruner: " in done.stderr
    assert "`reduction_factor` is 1" in done.stderr
