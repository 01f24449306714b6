"""Training runs that are killed, at random moments or at exact points, and resumed until they are complete."""

import json
import os
import random
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chaos_support.commands import PATIENCE, Command, left_behind
from chaos_support.points import Killer, Recorder, is_of_the_system
from chaos_support.records import faults_in

Faults = list[tuple[str, str]]  # the names of what went wrong, and details

_SMALL = ("data=digits", "data.reduce=0.25", "threads=1", "hydra.run.dir=run")
_NET = ("model.width=8", "model.blocks=[1,1,1]")
# Runs that differ in what is remembered from epoch to epoch.
RUNS = (
    (*_SMALL, *_NET, "epochs=4"),
    (*_SMALL, *_NET, "epochs=3", "augment=rotation", "scheduler=onecycle", "averaging=ema"),
    (*_SMALL, *_NET, "epochs=3", "data.val_fraction=0", "optimizer=sgd"),
    (
        *_SMALL, "experiment=fast", "model.channels=[4,8]", "model.convolutions=[1,2]", "data.val_fraction=0.2",
        "epochs=4", "data.batch_size=32", "autocast=false", "early_stopping.enabled=true", "early_stopping.patience=2",
        "early_stopping.improvement=99",
    ),
)  # fmt: skip
_MOST_KILLS = 3  # of one run
_AN_HOUR = 3600


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed: its words, its folder, how long it took, and the points it passed."""

    words: tuple[str, ...]
    folder: Path
    seconds: float
    points: tuple[str, ...]


def undisturbed(words: tuple[str, ...], home: Path) -> Undisturbed:
    """Trains once to find the points, and once to measure the time. Raises RuntimeError where that fails."""
    runs = []
    for number, before in enumerate((Recorder(home / "points"), None)):
        place = home / str(number)
        place.mkdir(parents=True)
        started = time.monotonic()
        ended = Command(place, "train", words, before).wait()
        if ended.code or ended.faults:
            raise RuntimeError(f"{ended.command}: {ended.stderr}")
        runs.append((place / "run", time.monotonic() - started))
    return Undisturbed(words, *runs[1], tuple((home / "points").read_text().split("\n")[:-1]))


def kill_at_moments(model: Undisturbed, home: Path, chance: random.Random) -> Faults:
    """Kills a run, and perhaps those that resume it, at random moments."""
    for _ in range(chance.randint(1, _MOST_KILLS)):
        command = _next_command(model, home, _other_clock(chance))
        time.sleep(chance.uniform(0.1, model.seconds))
        command.kill()
        _tear(home, chance)
    return _to_its_end(model, home)


def kill_at_points(model: Undisturbed, home: Path, chance: random.Random) -> Faults:
    """Kills a run at one of its points, and perhaps what resumes it too."""
    for _ in range(chance.randint(1, 2)):
        point = _choice(model.points, chance)
        with (home.parent / f"{home.name}.points").open("a") as file:
            file.write(f"{point}\n")
        command = _next_command(model, home, Killer(point))
        ended = command.wait(PATIENCE)
        if ended.hangs or (ended.faults and ended.code != -9):
            return [(name, f"killed {point}: {details}") for name, details in ended.faults]
        if ended.code == 0:
            break
        _tear(home, chance)
    return [(name, f"killed {point}: {details}") for name, details in _to_its_end(model, home)]


def _choice(points: Sequence[str], chance: random.Random) -> str:
    """One of the system's calls, or of a function, each function's as often as any other's."""
    of_the_system = chance.random() < 0.5
    points = [point for point in points if is_of_the_system(point) is of_the_system]
    name = chance.choice(sorted({point.rpartition("#")[0] for point in points}))
    return chance.choice([point for point in points if point.rpartition("#")[0] == name])


def _next_command(model: Undisturbed, home: Path, before: object) -> Command:
    """What a user types next: the same command, or once there is a run's folder, to resume it."""
    begun = (home / "run" / "run.json").exists() or (home / "run" / ".hydra" / "config.yaml").exists()
    return Command(home, "train", ("resume=run",) if begun else model.words, before)  # type: ignore[arg-type]


def _to_its_end(model: Undisturbed, home: Path) -> Faults:
    """Resumes the run until it is complete, and compares it with the undisturbed one."""
    ended = _next_command(model, home, None).wait()
    faults = ended.faults or left_behind(home, patience=0)
    if not faults and ended.code:
        faults = [("not resumed", f"{ended.command}: {ended.stderr}")]
    if not faults:
        ended = Command(home, "train", ("resume=run",)).wait()  # once more changes nothing
        faults = ended.faults or faults_in(home / "run", model.folder)
    return faults


def _tear(home: Path, chance: random.Random) -> None:
    """Now and then cuts the last event that was written, as a kill in the middle of writing does.

    Not once the record says how the run ended, since the last event is written before that.
    """
    events = sorted((home / "run").glob("events.out.tfevents.*"))
    record = home / "run" / "run.json"
    at_work = record.exists() and json.loads(record.read_text())["status"] == "running"
    if events and at_work and chance.random() < 0.2:
        size = events[-1].stat().st_size
        os.truncate(events[-1], max(0, size - chance.randint(1, 40)))


def _other_clock(chance: random.Random) -> partial[None] | None:
    """Now and then a process's clock is up to an hour back or ahead of the others'."""
    return partial(_shift_clock, chance.uniform(-_AN_HOUR, _AN_HOUR)) if chance.random() < 0.25 else None


def _shift_clock(seconds: float) -> None:
    now = time.time
    time.time = lambda: now() + seconds


def clean(home: Path) -> None:
    """Removes what a case left."""
    for folder in (home, home.parent / f"{home.name}.output"):
        shutil.rmtree(folder, ignore_errors=True)
    (home.parent / f"{home.name}.points").unlink(missing_ok=True)
