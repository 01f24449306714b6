"""The project's commands as processes that can be killed, and the processes that they leave."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
from support import command_line, environment
from warm import has_ended, start_script

PATIENCE = 90.0  # seconds until a command counts as hanging


@dataclass
class Command:
    """`python src/VERB.py ARGUMENTS`, at work in the folder `home`."""

    home: Path
    verb: str
    arguments: tuple[str, ...]
    before: Callable[[], None] | None = None
    _process: BaseProcess = field(init=False)
    _output: tuple[Path, Path] = field(init=False)

    def __post_init__(self) -> None:
        logs = self.home.parent / f"{self.home.name}.output"
        logs.mkdir(exist_ok=True)
        number = len(list(logs.iterdir())) // 2
        self._output = (logs / f"{number:02d}.stdout", logs / f"{number:02d}.stderr")
        for file in self._output:
            file.touch()
        own = environment(XDG_CACHE_HOME=str(self.home / "user_cache"), OMP_NUM_THREADS="1")
        words = command_line(self.verb, *self.arguments)
        self._process = start_script(words, self.home, own, self._output, self.before)

    def __str__(self) -> str:
        return f"{self.verb}.py {' '.join(self.arguments)}"

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def ended(self) -> bool:
        return has_ended(self._process)

    def kill(self) -> None:
        self._process.kill()
        has_ended(self._process, None)

    def wait(self, seconds: float = PATIENCE) -> "Ended":
        """How it ended; after so many seconds it is killed, and hangs."""
        hangs = not has_ended(self._process, seconds)
        if hangs:
            self.kill()
        stdout, stderr = (file.read_text(encoding="utf-8", errors="replace") for file in self._output)
        return Ended(str(self), self._process.exitcode or 0, stdout, stderr, hangs)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    command: str
    code: int
    stdout: str
    stderr: str
    hangs: bool = False

    @property
    def faults(self) -> list[tuple[str, str]]:
        """What no damage and no kill excuses, as a name and details: no traceback, no hanging, one line of error."""
        if self.hangs:
            return [("hangs", f"{self.command}: longer than {PATIENCE:.0f} s")]
        for text in (self.stderr, self.stdout):
            if "Traceback (most recent call last)" in text:
                return [("tracebacks", f"{self.command}: {last_line(text)}")]
        if self.code not in (0, 1, 2):
            return [("tracebacks", f"{self.command}: exit code {self.code}: {last_line(self.stderr)}")]
        if self.code == 2 and sum(line.startswith("error: ") for line in self.stderr.splitlines()) != 1:
            return [("tracebacks", f"{self.command}: exit code 2 without one line of error: {last_line(self.stderr)}")]
        return []


def last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "nothing said")


def processes_in(home: Path) -> list[psutil.Process]:
    """The processes at work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def left_behind(home: Path, patience: float) -> list[tuple[str, str]]:
    """The processes that are still at work in `home` after `patience` seconds, as faults; they are killed."""
    until = time.monotonic() + patience
    while (left := processes_in(home)) and time.monotonic() < until:
        time.sleep(0.1)
    faults = []
    for process in left:
        try:
            faults.append(("processes left", f"{process.pid} {' '.join(process.cmdline())[-200:]}"))
            os.kill(process.pid, 9)
        except (psutil.Error, OSError):
            continue
    return faults
