"""The spread over seeds: groups runs that differ only in their seed, and tests whether the groups really differ."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from housenumbers.config.schema import OBJECTIVES
from housenumbers.config.values import MACHINE_KEYS, OBSERVERS, flatten, without_added_keys
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder

SIGNIFICANT = 0.05
UNDECIDED = ("no difference", "equal", "not known")  # prefixes of verdicts that find no difference
_DECIMALS = 9  # decimal places of a score
# The keys that may differ within a group, besides OBSERVERS. data.split_seed follows the seed by default. data.root is
# no such key: two folders may hold different data.
# Runs with the same seed are not independent, even if other keys differ: only the last one counts.
_MAY_DIFFER = {"seed", "data.split_seed", "name", *MACHINE_KEYS} - {"data.root"}


def mean_and_deviation(values: Sequence[float]) -> str:
    """ "0.9412 ± 0.0031": the mean and the sample standard deviation; only the mean for a single value."""
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def score(record: Mapping[str, Any], objective: str) -> float:
    """The objective's value in the record of a completed run."""
    return float(record["train_seconds"] if objective == "train_seconds" else record["best"][objective])


def compare_means(groups: Mapping[Any, Sequence[float]], objective: str) -> tuple[Any, dict[Any, str]]:
    """The group with the best mean, and a verdict for each other group: whether it is really worse.

    Uses Welch's t-test (1947), two-sided. Multiplies p by the number of pairs (Bonferroni), since the best was picked.
    """
    sign = 1 if OBJECTIVES[objective] == "maximize" else -1
    best = max(groups, key=lambda name: sign * statistics.fmean(groups[name]))
    pairs = math.comb(len(groups), 2)
    return best, {name: _difference(groups[best], groups[name], pairs) for name in groups if name != best}


def best_mean(objective: str) -> str:
    """The label of the group with the best mean. It does not claim that the group is better, which needs a test."""
    return f"the {'highest' if OBJECTIVES[objective] == 'maximize' else 'lowest'} mean"


def _difference(best: Sequence[float], other: Sequence[float], pairs: int) -> str:
    if min(len(best), len(other)) < 2:
        return "not known: needs two seeds or more"
    # Rounding removes floating-point noise. If the scores of a group differed by noise alone, even the smallest
    # difference between two groups would appear significant.
    best, other = ([round(value, _DECIMALS) for value in values] for values in (best, other))
    if len(set(best)) == len(set(other)) == 1:
        return "equal" if best[0] == other[0] else "worse in every run"
    from scipy.stats import ttest_ind_from_stats

    # From exact statistics: `ttest_ind` computes less exact ones, and warns where the scores are nearly equal.
    numbers = [of(values) for values in (best, other) for of in (statistics.mean, statistics.stdev, len)]
    p = min(1.0, float(ttest_ind_from_stats(*numbers, equal_var=False).pvalue) * pairs)
    return f"worse (p = {p:.2g})" if p < SIGNIFICANT else f"no difference shown (p = {p:.2g})"


def seed_summary(sweep_folder: Path) -> list[str]:
    """A line for each group of runs, best first, then a line for each failed run.

    Shows no groups where no two runs differ only in their seed.
    """
    records = {}
    for file in sorted(sweep_folder.rglob("run.json")):
        with suppress(UserError, OSError):  # leaves out damaged records, which runs.py lists
            records[file.parent] = RunFolder(file.parent).record()
    typed = {folder: RunFolder(folder).overrides() for folder in records}
    common = set.intersection(*map(set, typed.values())) if typed else set()
    varying = {folder: [override for override in typed[folder] if override not in common] for folder in typed}
    failures = [
        f"  {' '.join([folder.name, *(word for word in varying[folder] if word not in folder.name)])}: "
        f"{record['error']}"
        for folder, record in records.items()
        if record.get("status") == "failed"
    ]
    groups = _groups(records, varying)
    table = _table(groups) if any(len(group.completed) + group.failed > 1 for group in groups.values()) else []
    return [*table, *(["failed runs, left out of all means:", *failures] if failures else [])]


def _table(groups: Mapping[str, "_Group"]) -> list[str]:
    every_run = [run for group in groups.values() for run in group.completed]
    completed = {name: group.completed for name, group in groups.items() if group.completed}
    if not completed:
        return []
    tests = {name: mean_and_deviation([run["test"]["accuracy"] for run in runs]) for name, runs in completed.items()}
    count = {name: f"n = {len(runs)}{groups[name].failures()}" for name, runs in completed.items()}
    lost = [f"  {name}: none completed{group.failures()}" for name, group in groups.items() if not group.completed]
    if not all(run["best"] for run in every_run):  # only test scores, which are not used to rank
        lines = [f"  {name}: {tests[name]}, {count[name]}" for name in completed]
        return ["the spread over seeds (test accuracy; mean ± standard deviation):", *lines, *lost]
    objectives = every_run[0]["config"]["objective"]
    objective = objectives if isinstance(objectives, str) else objectives[0]
    scores = {name: [score(run, objective) for run in runs] for name, runs in completed.items()}
    best, others = compare_means(scores, objective)
    lines = [f"the spread over seeds ({objective} of the best epoch, then test accuracy; mean ± standard deviation):"]
    for name in [best, *others]:
        against = f"; against {best}: {others[name]}" if name in others else ""
        lines.append(f"  {name}: {mean_and_deviation(scores[name])}, test {tests[name]}, {count[name]}{against}")
    return [*lines, *lost]


@dataclass
class _Group:
    """Runs that differ only in their seed: the records of completed runs, and the number of failed seeds."""

    completed: list[dict[str, Any]]
    failed: int

    def failures(self) -> str:
        return f"; {self.failed} of {plural(self.failed + len(self.completed), 'run')} failed" if self.failed else ""


def _groups(records: Mapping[Path, dict[str, Any]], own_overrides: Mapping[Path, Sequence[str]]) -> dict[str, _Group]:
    """Groups of completed and failed runs that differ only in their seed, by the overrides that distinguish them."""
    runs: dict[str, dict[str, dict[tuple[int, int], dict[str, Any]]]] = {}  # by configuration, status and seeds
    names: dict[str, list[str]] = {}
    for folder, record in records.items():
        if _is_whole(record):
            group = _without_seeds(record["config"])
            seeds = record["seed"], record["config"]["data"]["split_seed"]
            runs.setdefault(group, {"completed": {}, "failed": {}})[record["status"]][seeds] = record
            names.setdefault(
                group, [word for word in own_overrides[folder] if not _may_differ(word.partition("=")[0].lstrip("+"))]
            )
    groups: dict[str, _Group] = {}
    for group, by_status in runs.items():
        name = " ".join(names[group]) or "all runs"
        while name in groups:  # where Hydra did not save the overrides
            name += " (another configuration)"
        completed = by_status["completed"]
        groups[name] = _Group(list(completed.values()), len(by_status["failed"].keys() - completed.keys()))
    return groups


def _is_whole(record: Mapping[str, Any]) -> bool:
    """Whether a run has ended and its record has all keys that the spread needs."""
    config = record.get("config", {})  # a run can fail before it writes its configuration
    needed = {"test", "best", "train_seconds"} if record.get("status") == "completed" else {"error"}
    return (
        record.get("status") in ("completed", "failed")
        and {"seed", *needed} <= record.keys()
        and {"data", "objective"} <= config.keys()
        and "split_seed" in config["data"]
        and (record["status"] == "failed" or record["test"] is not None)
    )


def _without_seeds(config: Mapping[str, Any]) -> str:
    flat = without_added_keys(flatten(config))
    return json.dumps({key: value for key, value in flat.items() if not _may_differ(key)}, sort_keys=True)


def _may_differ(key: str) -> bool:
    """Whether a dotted key, or a group such as logger, may differ within a group of runs."""
    return key in _MAY_DIFFER or f"{key}.".startswith(OBSERVERS)
