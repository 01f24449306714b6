"""Creates the selected sampler and pruner, and checks that they support the search space."""

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from optuna.exceptions import ExperimentalWarning

from housenumbers.config.messages import one_line
from housenumbers.config.targets import allowed_targets, refused_message
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.installation import pip_install
from housenumbers.sweeps.space import Space

_OWN_PRUNERS = "housenumbers.sweeps.pruners."
_HALVING, _SEEDED_HYPERBAND = f"{_OWN_PRUNERS}HalvingPruner", f"{_OWN_PRUNERS}SeededHyperbandPruner"
_OWN = {
    "optuna.pruners.SuccessiveHalvingPruner": _HALVING,
    "optuna.pruners._successive_halving.SuccessiveHalvingPruner": _HALVING,
    "optuna.pruners.HyperbandPruner": _SEEDED_HYPERBAND,
    "optuna.pruners._hyperband.HyperbandPruner": _SEEDED_HYPERBAND,
}
_EXTRAS = {"cmaes": pip_install("cmaes")}  # by the module that a sampler imports


def make_sampler(options: Mapping[str, Any], space: Space) -> optuna.samplers.BaseSampler:
    """The sampler of these options."""
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):  # check_sampler has tried the sampler
        sampler = _instantiate("sampler", dict(options), (optuna.samplers.BaseSampler, functools.partial))
    if not isinstance(sampler, functools.partial):
        return sampler
    grid = sampler(space.grid())
    grid.after_trial = lambda *_: None  # it calls Study.stop, which raises outside of Study.optimize
    return grid


def make_pruner(options: Any, seed: int | None = None) -> optuna.pruners.BasePruner:
    """The pruner of these options, Hyperband with this `seed`. Raises UserError where they are invalid.

    Without options no trial is pruned.
    """
    if options is None:
        return optuna.pruners.NopPruner()
    try:
        return _instantiate("pruner", _with_own_pruners(options, seed), optuna.pruners.BasePruner)
    except (InstantiationException, TypeError, ValueError) as error:
        raise UserError(f"hydra.sweeper.pruner: {one_line(error)}") from None


def _instantiate(part: str, options: Any, kinds: Any) -> Any:
    """The object of these options. Raises UserError where its target is not allowed, or it is of another kind."""
    key = f"hydra.sweeper.{part}"
    try:
        made = instantiate(options, _execution_whitelist_=(*allowed_targets(), _HALVING, _SEEDED_HYPERBAND))
    except InstantiationException as error:
        if message := refused_message(key, error):
            raise UserError(message) from None
        raise
    if not isinstance(made, kinds):
        raise UserError(f"{key}: is not a {part}: choose one with hydra/sweeper/{part}=, or set its _target_")
    return made


def _with_own_pruners(options: Any, seed: int | None) -> Any:
    """The options with the project's pruners in place of Optuna's, also inside of a pruner that wraps another."""
    if not isinstance(options, Mapping):
        return options
    replaced = {key: _with_own_pruners(options[key], seed) for key in options}
    target = _OWN.get(str(options.get("_target_")))
    if target is not None:
        replaced["_target_"] = target
    if target == _SEEDED_HYPERBAND:
        replaced["seed"] = seed
    return replaced


def grid_size(options: Mapping[str, Any], space: Space) -> int | None:
    """The number of grid points; None for any other sampler than the grid sampler."""
    return math.prod(map(len, space.grid().values())) if options.get("_partial_") else None


def check_sampler(options: Mapping[str, Any], name: str, space: Space, directions: Sequence[Any]) -> None:
    """Has the sampler suggest up to three settings with dummy results. Raises UserError where it fails.

    Most samplers import their dependencies and check the space only after the first results.
    """
    startup = {"n_startup_trials": 1} if "n_startup_trials" in options else {}
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            study = optuna.create_study(sampler=make_sampler({**options, **startup}, space), directions=directions)
            for number in range(min(3, grid_size(options, space) or 3)):
                trial = study.ask()
                space.draw(trial)
                storage: Any = study._storage  # `tell` would call Study.stop on a complete grid
                values = [1 / (1 + number)] * len(directions)
                storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.COMPLETE, values)
    except ImportError as error:
        remedy = _EXTRAS.get(str(error.name), f"pip install {error.name}")
        raise UserError(f"hydra/sweeper/sampler={name}: needs the package {error.name}: {remedy}") from None
    except (InstantiationException, ValueError, TypeError, NotImplementedError) as error:
        raise UserError(f"hydra/sweeper/sampler={name}: cannot be used here: {one_line(error)}") from None
    finally:
        optuna.logging.set_verbosity(verbosity)
