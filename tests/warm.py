"""Commands in processes of their own that have the heavy libraries loaded already: importing these takes seconds.

A server process loads them once, none of ours among them, and forks for each command.
"""

import atexit
import multiprocessing
import multiprocessing.connection
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "hydra", "hydra.main", "matplotlib.backends.backend_agg", "matplotlib.figure", "optuna", "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin", "PIL.Image", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "scipy.io", "scipy.stats",
    "sklearn.datasets", "sklearn.model_selection", "tensorboard.plugins.hparams.summary_v2", "torch",
    "torch._dynamo",  # which the first optimizer imports, for 1.5 s
    "torch.fx.experimental.optimization", "torch.utils.tensorboard", "torchvision", "tqdm.contrib.logging",
)  # fmt: skip

_SRC = Path(__file__).parents[1] / "src"
_OURS = [str(Path(__file__).parent), str(_SRC)]  # on pytest's path, not on a command's
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([*_LIBRARIES, __name__])
# Process.start asks all other processes for their exit codes, each of which can be read once: where two threads read it
# at the same time, one of them gets 255 (CPython 3.11).
_exit_codes = threading.Lock()


def run_script(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    timeout: float | None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` gives for `python SCRIPT ARGUMENTS`, output captured as text; `before` as below."""
    home = tempfile.mkdtemp()  # a fork would remove a TemporaryDirectory at its own exit
    try:
        output = [Path(home, name) for name in ("stdout", "stderr")]
        process = start_script(command, cwd, env, output, before)
        if not has_ended(process, timeout):
            process.kill()
            raise subprocess.TimeoutExpired(list(command), timeout or 0)
        stdout, stderr = (file.read_text(encoding="utf-8") for file in output)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return subprocess.CompletedProcess(list(command), process.exitcode or 0, stdout, stderr)


def start_script(
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    output: Sequence[Path],
    before: Callable[[], None] | None = None,
) -> BaseProcess:
    """Starts `python SCRIPT ARGUMENTS`, whose stdout and stderr are appended to the two files of `output`.

    `before` is called in the new process just before the script, and has to be picklable.
    """
    process = _context.Process(target=_become, args=(list(command[1:]), str(cwd), dict(env), output, before))
    with _exit_codes:
        process.start()
    return process


def has_ended(process: BaseProcess, timeout: float | None = 0) -> bool:
    """Waits for the end of the process for so many seconds, without a limit for None; whether it came."""
    ready = multiprocessing.connection.wait([process.sentinel], timeout)
    with _exit_codes:
        if ready:
            process.join()  # a fork has closed its end of the pipe just before it ends
        return not process.is_alive()


def scripts_start_warm() -> None:
    """For `before`: each `python src/SCRIPT.py` that this process runs is a fork of it, which has the libraries, too.

    Only where it has computed nothing before (a fork has one thread, and misses those of OpenMP) and keeps no
    TemporaryDirectory (which a fork would remove at its end).
    """
    global _context, _exit_codes
    _context, _exit_codes, run = multiprocessing.get_context("fork"), threading.Lock(), subprocess.run

    def run_warm(command: Sequence[Any], *, check: bool = False, **options: Any) -> subprocess.CompletedProcess[Any]:
        words = [str(word) for word in command]
        if words[0] != sys.executable or Path(words[1]).parent != _SRC:
            return run(command, check=check, **options)
        done = run_script(words, Path.cwd(), os.environ, None)
        if check:
            done.check_returncode()
        return done

    subprocess.run = run_warm


def _become(
    command: list[str], cwd: str, env: dict[str, str], output: Sequence[Path], before: Callable[[], None] | None
) -> None:
    """Runs a script as the interpreter does: from its folder, with its arguments, to its exit handlers."""
    for number, file in enumerate(output, 1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.argv = command
    sys.path[:] = [str(Path(command[0]).absolute().parent), *(path for path in sys.path if path not in _OURS)]
    if before is not None:
        before()
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:  # in this order: joblib's threads end first, and then its processes are waited for
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
