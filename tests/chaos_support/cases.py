"""Runs cases: what they share, a folder for each, and a verdict whatever happens."""

import logging
import shutil
import sys
import traceback
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

import optuna

from chaos_support.commands import Command
from chaos_support.counts import Case
from chaos_support.kills import RUNS, Faults, clean, kill_at_moments, kill_at_points, undisturbed
from chaos_support.mutations import mutate
from chaos_support.specimens import Specimens
from chaos_support.sweeps import Sweeps


class Cases:
    """Runs cases in folders below `base`. What those of one kind share is made before the first of them."""

    def __init__(
        self, base: Path, cases: Sequence[Case], pool: ThreadPoolExecutor, jobs: int, keep: Path | None
    ) -> None:
        self._base, self._keep = base, keep
        _quiet()
        Command(_made(base / "warm_up"), "runs", ()).wait()  # loads the libraries, which should not count
        kinds = {case.kind for case in cases}
        runs = sorted({case.number % len(RUNS) for case in cases if case.kind in ("kills", "points")})
        self._runs = {number: undisturbed(RUNS[number], base / f"undisturbed_{number}") for number in runs}
        self._sweeps = Sweeps(base / "undisturbed_sweep") if "sweeps" in kinds else None
        self._specimens: Queue[Specimens] = Queue()  # one for each that is at work
        if "mutations" in kinds:
            for made in pool.map(Specimens, [base / f"specimens_{number}" for number in range(jobs)]):
                self._specimens.put(made)

    def run(self, case: Case) -> Faults:
        """What did not hold. An error of this program counts too, so that the other cases go on."""
        try:
            return self._run(case)
        except Exception as error:
            where = " > ".join(frame.name for frame in traceback.extract_tb(error.__traceback__))
            return [("cases without a verdict", f"{type(error).__name__}: {error} in {where}")]

    def _run(self, case: Case) -> Faults:
        if case.kind == "mutations":
            specimens = self._specimens.get()
            try:
                faults = mutate(specimens, case.chance)
                self._kept(case, specimens.home, faults)
            finally:
                self._specimens.put(specimens)
            return faults
        home = _made(self._base / case.kind / str(case.number))
        if case.kind == "sweeps":
            assert self._sweeps is not None
            faults = self._sweeps.kill(home, case.chance)
        else:
            kill = kill_at_moments if case.kind == "kills" else kill_at_points
            faults = kill(self._runs[case.number % len(RUNS)], home, case.chance)
        self._kept(case, home, faults)
        clean(home)
        return faults

    def _kept(self, case: Case, home: Path, faults: Faults) -> None:
        if faults and self._keep is not None:
            place = self._keep / f"{case.kind}_{case.number}"
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(home, place / "home", symlinks=True, copy_function=_copy)
            shutil.copytree(home.with_name(f"{home.name}.output"), place / "output")


def _quiet() -> None:
    """Libraries have much to say of damaged files, and of processes that were killed."""
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore")
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")  # of the processes started from here


def _made(home: Path) -> Path:
    home.mkdir(parents=True)
    return home


def _copy(source: str, target: str) -> None:
    if Path(source).is_file():  # neither a pipe nor a socket
        shutil.copy2(source, target)
