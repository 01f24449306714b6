"""The command: so many cases of each kind, each with a random generator of its own; a table of what did not hold."""

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.runtime import processes
from housenumbers.runtime.errors import UserError, one_line_errors

_MOST_DETAILS = 600  # characters

# What is counted of each kind, so that the table shows a 0 of what never went wrong.
COUNTED = {
    "kills": (
        "epochs in metrics.jsonl", "epochs in checkpoint", "epochs in TensorBoard (fast)",
        "epochs in TensorBoard (slow)", "other weights", "other results",
    ),
    "points": (
        "epochs in metrics.jsonl", "epochs in checkpoint", "epochs in TensorBoard (fast)",
        "epochs in TensorBoard (slow)", "other weights", "other results",
    ),
    "mutations": ("tracebacks", "hangs", "silently wrong"),
    "sweeps": ("wrong counts of trials", "trials lost or doubled", "other weights", "processes left"),
}  # fmt: skip


@dataclass
class Arguments:
    """Kills training runs and sweeps, damages files, and counts what does not hold. Takes about an hour on two cores.

    python tests/chaos.py                                        everything
    python tests/chaos.py kills=20 points=10 mutations=100 sweeps=3     fewer of each
    python tests/chaos.py only=mutations/57 seed=0               one case again, as each line about a failure begins

    kills=       training runs that are killed at random moments, then resumed
    points=      the same at exact points: before or after a call of a function
    mutations=   damaged files, each read by a command
    sweeps=      searches that are killed, then completed
    seed=        another one chooses other moments, points and damage
    jobs=        how many cases at once; as many as there are cores
    keep=FOLDER  leaves the folders of all cases that failed there

    The exit code is 1 where anything did not hold."""

    kills: int = 200
    points: int = 100
    mutations: int = 1000
    sweeps: int = 30
    seed: int = 0
    jobs: int | None = None
    only: str | None = None
    keep: str | None = None


@dataclass(frozen=True)
class Case:
    """One of the things that are tried; `kind/number` names it."""

    kind: str
    number: int
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.number}"

    @property
    def chance(self) -> random.Random:
        return random.Random(f"{self.seed} {self}")


def main() -> None:
    with one_line_errors():
        arguments, _ = parse(Arguments, sys.argv[1:])
        cases = _cases(arguments)
        jobs = arguments.jobs or processes.available_cores()
        keep = Path(arguments.keep) if arguments.keep else None
        from chaos_support.cases import Cases  # loads much, for which a mistake above should not wait
        from chaos_support.commands import left_behind

        base = Path(tempfile.mkdtemp(prefix="chaos-"))
        try:
            with ThreadPoolExecutor(jobs) as pool:
                try:
                    counts = _tried(cases, Cases(base, cases, pool, jobs, keep).run, pool)
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
        finally:
            left_behind(base, patience=0)
            shutil.rmtree(base, ignore_errors=True)
        print(table(cases, counts))
        raise SystemExit(1 if counts.total() else 0)


def _tried(
    cases: Sequence[Case], run: Callable[[Case], list[tuple[str, str]]], pool: ThreadPoolExecutor
) -> Counter[tuple[str, str]]:
    """Runs all cases and tells at once what does not hold; counts it by kind and name."""
    counts: Counter[tuple[str, str]] = Counter()
    running = {pool.submit(run, case): case for case in cases}
    seldom = 0.1 if sys.stderr.isatty() else 60  # seconds between looks at the bar, in a file
    for done in tqdm(as_completed(running), total=len(cases), unit="case", mininterval=seldom, dynamic_ncols=True):
        case, faults = running[done], done.result()
        for name in sorted({name for name, _ in faults}):
            counts[case.kind, name] += 1
        for name, details in faults:
            tqdm.write(f"only={case} seed={case.seed}: {name}: {' '.join(details.split())[:_MOST_DETAILS]}")
    return counts


def table(cases: Sequence[Case], counts: Counter[tuple[str, str]]) -> str:
    """Of each kind how many cases there were, and in how many of them each thing went wrong."""
    lines = []
    for kind, names in COUNTED.items():
        number = sum(case.kind == kind for case in cases)
        if number:
            lines.append(f"{kind:<10}{number:>6} cases")
            others = sorted({name for of_kind, name in counts if of_kind == kind} - set(names))
            lines += [f"{counts[kind, name]:>16} {name}" for name in (*names, *others)]
    return "\n".join(lines)


def _cases(arguments: Arguments) -> list[Case]:
    if arguments.only is None:
        counts = {kind: getattr(arguments, kind) for kind in COUNTED}
        return [Case(kind, number, arguments.seed) for kind, count in counts.items() for number in range(count)]
    kind, _, number = arguments.only.partition("/")
    if kind not in COUNTED or not number.isdecimal():
        raise UserError(f"only={arguments.only}: must be a kind and a number, {'/0, '.join(COUNTED)}/0 say")
    return [Case(kind, int(number), arguments.seed)]
