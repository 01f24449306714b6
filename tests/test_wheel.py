"""What `pip install .` gives: everything that a checkout has, and works, from another folder."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import ROOT, environment

from housenumbers.__main__ import COMMANDS

SMALL = ("data=digits", "data.reduce=0.3", "model.width=4", "model.blocks=[1]", "epochs=1", "threads=1")
_SOURCES = (
    "src", "conf", "tests", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md",
    "CITATION.cff",
)  # fmt: skip


def start(*words: str, path: Path = ROOT / "src", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`housenumbers WORDS`, with the package in `path`."""
    command = [sys.executable, "-m", "housenumbers", *words]
    env = environment(PYTHONPATH=str(path), OMP_NUM_THREADS="1")
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600)


def test_the_command_lists_the_scripts() -> None:
    done = start("--help")
    assert done.returncode == 0
    assert {path.stem for path in (ROOT / "src").glob("*.py")} == set(COMMANDS)
    assert all(f"housenumbers {name} " in done.stdout for name in COMMANDS)
    assert start().stdout == done.stdout


def test_the_command_starts_a_script_with_its_arguments(tmp_path: Path) -> None:
    assert "KEY=VALUE" in start("train", "--help", cwd=tmp_path).stdout
    wrong = start("predict", "images=nowhere.png", cwd=tmp_path)
    assert (wrong.returncode, wrong.stderr) == (2, "error: images=nowhere.png: no such file or folder\n")
    unknown = start("fly")
    assert unknown.returncode == 2
    assert unknown.stderr.startswith("error: fly: no such command: use one of train, ")


@pytest.mark.slow
def test_wheel_and_sdist_work_from_another_folder(tmp_path: Path) -> None:
    pytest.importorskip("build")
    pytest.importorskip("twine")
    source = tmp_path / "source"
    source.mkdir()
    for name in _SOURCES:  # without what builds leave behind
        at = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(at, source / name, ignore=ignore) if at.is_dir() else shutil.copy(at, source / name)

    def run(*words: str | Path, cwd: Path = tmp_path) -> str:
        done = subprocess.run([sys.executable, *words], cwd=cwd, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", ".", cwd=source)  # the wheel from the sdist
    built = sorted((tmp_path / "dist").iterdir())
    assert [path.name.split("-")[0] for path in built] == ["housenumbers", "housenumbers"]
    assert run("-m", "twine", "check", "--strict", *built).count("PASSED") == 2
    (wheel,) = (path for path in built if path.suffix == ".whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    conf = {f"housenumbers/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    commands = {f"housenumbers/commands/{name}.py" for name in COMMANDS}
    assert conf | commands <= inside
    assert {"housenumbers/data/photos.xz", "housenumbers/demo/demo_page.js", "housenumbers/py.typed"} <= inside
    assert not any(name.startswith("tests/") for name in inside)

    site, home = tmp_path / "site", tmp_path / "home"
    home.mkdir()
    run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", site, wheel)
    done = start("train", *SMALL, "hydra.run.dir=outputs/command", path=site, cwd=home)
    assert done.returncode == 0, done.stderr
    program = (
        "import housenumbers, json\n"
        f"run = housenumbers.train({[*SMALL, 'hydra.run.dir=outputs/python']})\n"
        "one = housenumbers.open_run('outputs/command').record['weights_sha256']\n"
        "print(json.dumps([housenumbers.__file__, one == run.record['weights_sha256'], "
        "len(housenumbers.list_runs()), housenumbers.load_model().reads_numbers]))\n"
    )
    env = environment(PYTHONPATH=str(site), OMP_NUM_THREADS="1")
    done = subprocess.run([sys.executable, "-c", program], cwd=home, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [str(site / "housenumbers" / "__init__.py"), True, 2, False]
    assert start("runs", path=site, cwd=home).stdout.count("completed") == 2
    swept = start("train", "-m", "hydra/sweeper=optuna", *SMALL, "hydra.sweeper.n_trials=2", "hydra.sweeper.n_jobs=2",
                  path=site, cwd=home)  # fmt: skip
    assert swept.returncode == 0, swept.stderr
    assert len(list((home / "multirun").glob("*/trial_*/run.json"))) == 2
