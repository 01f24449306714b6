"""The demo's server as a process, for tests."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import command_line, environment


def start(home: Path, *words: str) -> subprocess.Popen[str]:
    """The server as a shell's background command is started, which ignores SIGINT until it says otherwise."""
    places = {"HOME": home, "XDG_CACHE_HOME": home / "cache", "MPLCONFIGDIR": home / "cache", "TMPDIR": home / "tmp"}
    for place in places.values():
        place.mkdir(exist_ok=True)
    ignoring = ["sh", "-c", "trap '' INT; exec \"$@\"", "sh"]
    return subprocess.Popen(
        [*ignoring, *command_line("demo", "port=0", *words)], cwd=home, text=True,
        env=environment(**{name: str(place) for name, place in places.items()}),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@contextmanager
def served(home: Path, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The server at work, its own home and temporary folder in `home`: the page's address, and the process."""
    process = start(home, *words)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split(" ")[0]
        assert address.startswith("http://127.0.0.1:"), process.communicate()
        yield address, process
    finally:
        process.kill()
        process.communicate()


def files(home: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}
