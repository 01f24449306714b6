"""The spread over seeds: runs that differ in their seed alone, and whether groups of such runs really differ."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from housenumbers.config import OBJECTIVES
from housenumbers.tracking.run_folder import RunFolder

SIGNIFICANT = 0.05
# What may differ between runs of one group, and data.split_seed, which follows the seed if nothing else was said.
# Runs of one seed are no independent ones, whatever else may differ: the last of them counts.
_SEEDS = ("seed", "name", "threads", "device")


def mean_and_deviation(values: Sequence[float]) -> str:
    """ "0.9412 ± 0.0031": the mean and the sample standard deviation, which one value alone does not have."""
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def score(record: Mapping[str, Any], objective: str) -> float:
    """The objective's value in the record of a completed run."""
    return float(record["train_seconds"] if objective == "train_seconds" else record["best"][objective])


def differences(groups: Mapping[Any, Sequence[float]], objective: str) -> tuple[Any, dict[Any, str]]:
    """The group with the best mean, and in words whether each of the others is really worse.

    Welch's t-test (1947), two-sided; p is multiplied by the number of pairs (Bonferroni), since the best was picked.
    """
    sign = 1 if OBJECTIVES[objective] == "maximize" else -1
    best = max(groups, key=lambda name: sign * statistics.fmean(groups[name]))
    pairs = math.comb(len(groups), 2)
    return best, {name: _difference(groups[best], groups[name], pairs) for name in groups if name != best}


def _difference(best: Sequence[float], other: Sequence[float], pairs: int) -> str:
    if min(len(best), len(other)) < 2:
        return "not known: needs two seeds or more"
    if statistics.pvariance(best) == statistics.pvariance(other) == 0:
        return "equal" if best[0] == other[0] else "different in every run"
    from scipy.stats import ttest_ind

    p = min(1.0, float(ttest_ind(best, other, equal_var=False).pvalue) * pairs)
    return f"worse (p = {p:.2g})" if p < SIGNIFICANT else f"no difference to be seen (p = {p:.2g})"


class ReportSpread(Callback):
    """At the end of a plain multirun: mean and standard deviation of the runs that differ in their seed alone."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        if config.hydra.sweeper._target_.endswith(".StudySweeper"):
            return
        lines = seed_table(Path(config.hydra.sweep.dir))
        if lines:
            print(*lines, sep="\n", flush=True)


def seed_table(sweep_folder: Path) -> list[str]:
    """A line for each group of completed runs, best first; none where no two runs differ in their seed alone."""
    groups = _groups(sweep_folder)
    if not any(len(runs) > 1 for runs in groups.values()):
        return []
    tests = {name: [run["test"]["accuracy"] for run in runs] for name, runs in groups.items()}
    every_run = [run for runs in groups.values() for run in runs]
    if not all(run["best"] for run in every_run):  # the test part alone, which ranks nothing
        lines = [f"  {name}: {mean_and_deviation(tests[name])}, n = {len(tests[name])}" for name in tests]
        return ["the spread over seeds (test accuracy; mean ± standard deviation):", *lines]
    objective = _first_objective(every_run[0])
    scores = {name: [score(run, objective) for run in runs] for name, runs in groups.items()}
    best, others = differences(scores, objective)
    lines = [f"the spread over seeds ({objective} of the best epoch, then test accuracy; mean ± standard deviation):"]
    for name in [best, *others]:
        line = f"  {name}: {mean_and_deviation(scores[name])}, test {mean_and_deviation(tests[name])}"
        against = f"; against the best: {others[name]}" if name in others else ""
        lines.append(f"{line}, n = {len(scores[name])}{against}")
    return lines


def _groups(sweep_folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The records of completed runs that differ in their seed alone, by the overrides that tell the groups apart."""
    runs: dict[str, dict[tuple[int, int], dict[str, Any]]] = {}
    words: dict[str, list[str]] = {}
    for file in sorted(sweep_folder.glob("*/run.json")):
        record = RunFolder(file.parent).record()
        if record.get("status") == "completed":
            group = _without_seeds(record["config"])
            seeds = record["seed"], record["config"]["data"]["split_seed"]
            runs.setdefault(group, {})[seeds] = record
            words.setdefault(group, _overrides(file.parent))
    common = set.intersection(*map(set, words.values())) if words else set()
    groups: dict[str, list[dict[str, Any]]] = {}
    for group, records in runs.items():
        name = " ".join(word for word in words[group] if word not in common) or "all runs"
        while name in groups:  # where Hydra was told not to save what was typed
            name += " (another configuration)"
        groups[name] = list(records.values())
    return groups


def _first_objective(record: Mapping[str, Any]) -> str:
    objective = record["config"]["objective"]
    return str(objective if isinstance(objective, str) else objective[0])


def _without_seeds(config: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in config.items() if key not in _SEEDS}
    rest["data"] = {key: value for key, value in config["data"].items() if key != "split_seed"}
    return json.dumps(rest, sort_keys=True)


def _overrides(folder: Path) -> list[str]:
    """What was typed for this run, seeds apart."""
    saved = folder / ".hydra" / "overrides.yaml"
    words = [str(word) for word in OmegaConf.load(saved)] if saved.exists() else []
    return [word for word in words if not word.startswith(("seed=", "data.split_seed=", "name="))]
