"""Fixtures that tests share."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

# Before torch: tests run side by side, one on each core, which threads that wait for each other should not keep busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
from support import NUMBERS, ROOT, TINY, Command, environment, only_run, run_in, write_mat

_SOURCES = (
    "src", "conf", "tests", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md",
    "CITATION.cff",
)  # fmt: skip
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


@pytest.fixture(autouse=True, scope="session")
def _user_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the tests, and fixtures of any scope, out of the user's own cache folder."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


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
    (only_run(home) / "report.html").unlink(missing_ok=True)  # made where other processes slow the training down
    return only_run(home)


@pytest.fixture(scope="session")
def numbers_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a completed tiny run on rendered whole numbers. Only its page and scores may be added."""
    home = tmp_path_factory.mktemp("numbers_run")
    done = run_in(home, "train", *NUMBERS)
    assert done.returncode == 0, done.stderr
    return home / "outputs" / "numbers"


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it, as `python -m build` does."""
    pytest.importorskip("setuptools", minversion="77")
    home = tmp_path_factory.mktemp("distributions")
    source = home / "source"
    source.mkdir()
    for name in _SOURCES:  # without what builds leave behind
        at, ignore = ROOT / name, shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(at, source / name, ignore=ignore) if at.is_dir() else shutil.copy(at, source / name)

    def build(kind: str, folder: Path) -> None:
        code = f"from setuptools.build_meta import build_{kind}; import sys; build_{kind}(sys.argv[1])"
        words = [sys.executable, "-c", code, str(home / "dist")]
        done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    build("sdist", source)
    (sdist,) = (home / "dist").iterdir()
    shutil.unpack_archive(sdist, home / "unpacked", filter="data")
    build("wheel", home / "unpacked" / sdist.name.removesuffix(".tar.gz"))
    return home / "dist"


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    """The wheel."""
    (file,) = distributions.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the wheel's content, in a folder whose other content is not this project's."""
    home = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home / "lib" / "site")
    return home / "lib" / "site"


@pytest.fixture
def svhn_folder(tmp_path: Path) -> Path:
    """Small files in SVHN's format whose pixels tell the part and the position of each crop."""
    folder = tmp_path / "svhn"
    folder.mkdir()
    for shade, (part, count) in enumerate({"train": 600, "test": 120, "extra": 150}.items()):
        write_mat(folder / f"{part}_32x32.mat", count, shade)
    return folder
