"""Fixtures that tests share."""

import os
from pathlib import Path

# Before torch: tests run side by side, one on each core, which threads that wait for each other should not keep busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
from support import NUMBERS, TINY, Command, only_run, run_in, write_mat

# Folders whose tests train, or ask a net, so that another processor gives them other bits; and files there that do not.
_TRAINS = ("demo", "end_to_end", "evaluation", "models", "prediction", "reports", "runs", "sweeps", "training")
_DOES_NOT_TRAIN = (
    "test_build.py", "test_data_page.py", "test_documentation.py", "test_earlier_studies.py", "test_heartbeat.py",
    "test_history.py", "test_hydra_flags.py", "test_image_input.py", "test_multirun.py", "test_postgres.py",
    "test_presets.py", "test_progress_bar.py", "test_records_after_a_kill.py", "test_reproducibility.py",
    "test_request_checks.py", "test_restore.py", "test_samplers.py", "test_significance.py", "test_space.py",
    "test_study.py", "test_torch_options.py", "test_worker_pool.py",
)  # fmt: skip


@pytest.hookimpl(tryfirst=True)  # before pytest itself looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name in _TRAINS and item.path.name not in _DOES_NOT_TRAIN:
            item.add_marker("trains")


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


@pytest.fixture(scope="session")
def numbers_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed tiny run on rendered whole numbers. Only its page and scores may be added."""
    home = tmp_path_factory.mktemp("numbers_run")
    done = run_in(home, "train", *NUMBERS)
    assert done.returncode == 0, done.stderr
    return home / "outputs" / "numbers"


@pytest.fixture
def svhn_folder(tmp_path: Path) -> Path:
    """Small files in SVHN's format whose pixels tell the part and the position of each crop."""
    folder = tmp_path / "svhn"
    folder.mkdir()
    for shade, (part, count) in enumerate({"train": 600, "test": 120, "extra": 150}.items()):
        write_mat(folder / f"{part}_32x32.mat", count, shade)
    return folder
