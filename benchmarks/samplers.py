"""What each sampler and pruner of a search learns from trials that did not complete, and how long suggestions take.

`python benchmarks/samplers.py --help` shows the options.
"""

import math
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import optuna
from annotated_types import Ge
from choices import some_of
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState
from rounds import machine
from sweeper_options import default_space, sweeper_options
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.constraints import Count, Positive
from housenumbers.runtime.errors import one_line_errors
from housenumbers.sweeps.samplers import make_pruner, make_sampler
from housenumbers.sweeps.space import Space

DISTRIBUTIONS = default_space().always
STATES = {"pruned": TrialState.PRUNED, "failed": TrialState.FAIL, "running": TrialState.RUNNING}
EPOCHS = 20


def _options(target: str, **options: Any) -> dict[str, Any]:
    return {"_target_": f"optuna.samplers.{target}", **options}


# The options of hydra/sweeper/sampler=: tpe is this project's, the others are the plugin's.
SAMPLERS: dict[str, dict[str, Any]] = {
    "tpe": sweeper_options("sampler", "tpe", EPOCHS),
    "random": _options("RandomSampler"),
    "gp": _options("GPSampler"),
    "qmc": _options("QMCSampler", scramble=True),
    "cmaes": _options("CmaEsSampler"),
    "nsgaii": _options("NSGAIISampler", population_size=10),
    "nsgaiii": _options("NSGAIIISampler", population_size=10),
}
PRUNERS = {name: sweeper_options("pruner", name, EPOCHS) for name in ("median", "halving", "hyperband")}


@dataclass
class Arguments:
    """Prints two tables: which trials each sampler and pruner learns from, and the seconds that suggestions take.

    python benchmarks/samplers.py
    python benchmarks/samplers.py only=tpe,gp

    n=40             trials of each kind that a sampler may or may not learn from
    most=1000        trials of the longest study
    patience=300     seconds after which a longer study is not measured"""

    only: Annotated[str, some_of(SAMPLERS)] | None = None
    n: Annotated[int, Ge(12)] = 40
    most: Count = 1000
    patience: Positive = 300.0


def made_trials(count: int, state: TrialState, seed: int) -> list[FrozenTrial]:
    """Trials with random parameters. Their learning curves rise to a value that the learning rate decides."""
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed))
    trials = []
    for _ in range(count):
        params = study.ask(DISTRIBUTIONS).params
        best = quality(params)
        curve = {epoch: best * (1 - 0.5**epoch) for epoch in range(1, EPOCHS + 1)}
        value = best if state == TrialState.COMPLETE else None
        trials.append(
            optuna.create_trial(
                params=params, distributions=DISTRIBUTIONS, state=state, value=value, intermediate_values=curve
            )
        )
    return trials


def quality(params: dict[str, Any]) -> float:
    """An accuracy between 0.2 and 0.9: best at a learning rate of 0.001."""
    return max(0.2, 0.9 - 0.3 * abs(math.log10(params["optimizer.lr"]) + 3) - 0.1 * params["scheduler.gamma"])


def suggestions(sampler: BaseSampler, state: TrialState, others: list[FrozenTrial]) -> list[dict[str, Any]]:
    """What a sampler suggests in a study where each of its trials, which complete, has one of the `others` after it."""
    study = optuna.create_study(direction="maximize", sampler=sampler)
    found = []
    for other in others:
        trial = study.ask(DISTRIBUTIONS)
        found.append(trial.params)
        study.tell(trial, quality(trial.params))
        study.enqueue_trial(other.params)
        beside = study.ask(DISTRIBUTIONS)
        for epoch, value in other.intermediate_values.items():
            beside.report(value, epoch)
        if state != TrialState.RUNNING:
            study.tell(beside, state=state)
    return found


def learns(make: Callable[[], BaseSampler], state: TrialState, n: int) -> bool:
    """Whether it matters to the suggestions which trials of this state are beside the complete ones."""
    one, other = (suggestions(make(), state, made_trials(n, state, seed)) for seed in (1, 2))
    return one != other


def prunes(make: Callable[[], BasePruner], state: TrialState, n: int) -> bool:
    """Whether such trials alone, all of them better, make the pruner stop a bad one at any of its epochs."""
    study = optuna.create_study(direction="maximize", pruner=make(), sampler=optuna.samplers.RandomSampler(0))
    for other in made_trials(n, state, 2):
        beside = study.ask(DISTRIBUTIONS)
        for epoch, value in other.intermediate_values.items():
            beside.report(value, epoch)
            beside.should_prune()  # some pruners note the trial's rung
        if state != TrialState.RUNNING:
            study.tell(beside, other.value, state=state)
    trial = study.ask(DISTRIBUTIONS)
    for epoch in range(1, EPOCHS):
        trial.report(0.01, epoch)
        if trial.should_prune():
            return True
    return False


def seconds(make: Callable[[], BaseSampler], marks: list[int], patience: float) -> dict[int, float]:
    """By each of the `marks`, the seconds of the sampler in a study of so many trials, without their trainings."""
    study = optuna.create_study(direction="maximize", sampler=make())
    taken, found = 0.0, {}
    for number in range(1, max(marks) + 1):
        began = time.perf_counter()
        trial = study.ask(DISTRIBUTIONS)
        study.tell(trial, quality(trial.params))
        taken += time.perf_counter() - began
        if number in marks:
            found[number] = taken
        if taken > patience:
            break
    return found


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        chosen = arguments.only.split(",") if arguments.only else list(SAMPLERS)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        space = Space(always=DISTRIBUTIONS)
        marks = sorted({min(100, arguments.most), arguments.most})
        print(machine(), f"optuna {optuna.__version__}", sep=", ")
        heads = [*(f"learns from {state}" for state in STATES), *(f"{mark:,} trials" for mark in marks)]
        print(f"| sampler | {' | '.join(heads)} |", f"| --- |{' --- |' * len(heads)}", sep="\n")
        with warnings.catch_warnings(action="ignore"):
            for name in tqdm(chosen, unit="sampler", disable=None):
                make = partial(make_sampler, {**SAMPLERS[name], "seed": 0}, space)
                cells = ["yes" if learns(make, state, arguments.n) else "no" for state in STATES.values()]
                measured = seconds(make, marks, arguments.patience)
                cells += [f"{measured[m]:.2f} s" if m in measured else f"over {arguments.patience:g} s" for m in marks]
                print(f"| `{name}` | {' | '.join(cells)} |")
            print(f"\n| pruner | {' | '.join(f'compares with {state}' for state in ('complete', *STATES))} |")
            print("| --- | --- | --- | --- | --- |")
            for name, options in PRUNERS.items():
                pruner = partial(make_pruner, options, 0)
                states = [TrialState.COMPLETE, *STATES.values()]
                print(f"| `{name}` | {' | '.join('yes' if prunes(pruner, s, arguments.n) else 'no' for s in states)} |")


if __name__ == "__main__":
    main()
