"""Fixtures that tests share."""

import os
from pathlib import Path

# Before torch: tests run side by side, one on each core, which threads that wait for each other should not keep busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
from support import TINY, Command, only_run, run_in, write_mat


@pytest.fixture(autouse=True)
def _user_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the tests out of the user's own cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Runs `python src/VERB.py ARGUMENTS` with a temporary folder as the working folder."""
    return lambda verb, *arguments, **more: run_in(tmp_path, verb, *arguments, **more)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed tiny run; the working folder it was run in is three levels up. Not to be changed."""
    home = tmp_path_factory.mktemp("finished")
    done = run_in(home, "train", *TINY, "name=finished")
    assert done.returncode == 0, done.stderr
    return only_run(home)


@pytest.fixture
def svhn_folder(tmp_path: Path) -> Path:
    """Small files in SVHN's format whose pixels tell the part and the position of each crop."""
    folder = tmp_path / "svhn"
    folder.mkdir()
    for shade, (part, count) in enumerate({"train": 600, "test": 120, "extra": 150}.items()):
        write_mat(folder / f"{part}_32x32.mat", count, shade)
    return folder
