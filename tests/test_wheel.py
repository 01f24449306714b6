"""What `pip install .` gives: everything that a checkout has, and works, from another folder."""

import ast
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from support import ROOT, environment

from housenumbers.__main__ import COMMANDS
from housenumbers.runtime import installation

SMALL = ("data=digits", "data.reduce=0.3", "model.width=4", "model.blocks=[1]", "epochs=1", "threads=1")


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
    assert start("predikt").stderr == "error: predikt: no such command: did you mean predict?\n"
    assert start("--version").stdout.startswith("housenumbers 1.")


def in_the_wheel(program: str, site: Path, cwd: Path) -> list[str]:
    """The lines that a program prints which imports the package from the wheel."""
    env = environment(PYTHONPATH=str(site), OMP_NUM_THREADS="1")
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_help_and_messages_name_the_command_that_is_there(site: Path, tmp_path: Path) -> None:
    for name in COMMANDS:
        done = start(name, "--help", path=site, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"housenumbers {name} " in done.stdout
        assert "src/" not in done.stdout
    missing = start("demo", "run=last", path=site, cwd=tmp_path)
    assert "train one (housenumbers train experiment=quickstart)" in missing.stderr
    for file in [*(site / "housenumbers").rglob("*.yaml"), *(site / "housenumbers" / "commands").iterdir()]:
        assert not re.search(r"python src/|pip install -e", file.read_text()), file
    assert in_the_wheel(
        "from housenumbers.runtime.installation import command, pip_install\n"
        "print(command('read'), pip_install('demo'), sep='\\n')",
        site,
        tmp_path,
    ) == ["housenumbers read", "pip install 'housenumbers[demo]'"]


def test_a_checkout_names_its_scripts() -> None:
    assert installation.command("read") == "python src/read.py"
    assert installation.pip_install("demo") == "pip install -e '.[demo]'"


def test_only_these_functions_name_scripts_and_extras_in_messages() -> None:
    """Docstrings and comments may: those of commands and conf/ are rewritten for the wheel."""
    for file in sorted((ROOT / "src" / "housenumbers").rglob("*.py")):
        if file.name == "installation.py":
            continue
        tree = ast.parse(file.read_text())
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                assert not re.search(r"python src/|src/\w+\.py|pip install -e", node.value), (file, node.value)
    for page in (ROOT / "src" / "housenumbers").rglob("*.html"):
        assert "python src/" not in page.read_text(), page


def test_a_lock_file_beside_an_installed_package_is_not_this_projects(site: Path, tmp_path: Path) -> None:
    for folder in (site, site.parent, site.parents[1]):
        (folder / "requirements.lock").write_text("torch==1.0\n")
    program = "from housenumbers.runtime import versions\nprint(versions.LOCK, versions.lock_sha256())"
    assert in_the_wheel(program, site, tmp_path) == ["None None"]


def test_the_commit_of_a_repository_around_an_installed_package_is_not_this_projects(
    site: Path, tmp_path: Path
) -> None:
    if shutil.which("git") is None:
        pytest.skip("needs git")
    around = tmp_path / "around"
    shutil.copytree(site, around / "site")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(around)]
    for words in (["init"], ["commit", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    program = "from housenumbers.runs.run import _git_commit\nprint(_git_commit())"
    assert in_the_wheel(program, around / "site", tmp_path) == ["None"]


@pytest.mark.slow
def test_wheel_and_sdist_work_from_another_folder(distributions: Path, wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("twine")

    def run(*words: str | Path, cwd: Path = tmp_path) -> str:
        done = subprocess.run([sys.executable, *words], cwd=cwd, env=environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    built = sorted(distributions.iterdir())
    assert [path.name.split("-")[0] for path in built] == ["housenumbers", "housenumbers"]
    assert run("-m", "twine", "check", "--strict", *built).count("PASSED") == 2
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
