"""The structure's rules: who may import whom, one list of dependencies, and sizes."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from support import ROOT

PACKAGE = ROOT / "src" / "housenumbers"

# The packages from the lowest layer up, and which others each may import: only lower ones.
MAY_IMPORT: dict[str, set[str]] = {
    "runtime": set(),
    "pretrained": {"runtime"},
    "models": {"pretrained", "runtime"},
    "metrics": set(),
    "config": {"runtime"},
    "data": {"config", "metrics", "runtime"},
    "tracking": {"config", "pretrained", "runtime"},
    "training": {"config", "data", "metrics", "models", "pretrained", "runtime", "tracking"},
    "preflight": {"config", "data", "runtime", "tracking", "training"},
    "sweeps": {"config", "preflight", "runtime", "tracking"},
    "evaluation": {"config", "data", "metrics", "models", "pretrained", "runtime", "tracking", "training"},
    "runs": {
        "config",
        "data",
        "evaluation",
        "metrics",
        "models",
        "preflight",
        "runtime",
        "tracking",
        "training",
    },
    "prediction": {"config", "data", "evaluation", "metrics", "pretrained", "runtime", "tracking", "training"},
    "reports": {"config", "data", "evaluation", "metrics", "runtime", "tracking"},
    "api": {
        "config", "data", "evaluation", "preflight", "prediction", "pretrained", "reports", "runs", "runtime",
        "tracking",
        "training",
    },
    "__main__": {"runtime"},
    "demo": {"data", "evaluation", "metrics", "prediction", "pretrained", "reports", "runtime", "tracking"},
}  # fmt: skip


def _package(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported_packages(path: Path) -> set[str]:
    packages = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "housenumbers":
            words = node.module.split(".")[1:]
            packages |= {words[0]} if words else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("housenumbers.")}
    return packages


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_packages_import_only_lower_layers(path: Path) -> None:
    package = _package(path)
    if package == "__init__":
        return
    assert _imported_packages(path) <= MAY_IMPORT[package] | {package}


def test_environment_yml_has_the_dependencies_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"][0] == "conda-forge"
    (python,) = [line for line in environment["dependencies"] if str(line).startswith("python=")]
    assert (3, 11) <= tuple(map(int, python.removeprefix("python=").split("."))) <= (3, 13)
    (pip,) = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    assert pip == project["dependencies"]


def test_the_lock_file_fits_the_dependencies() -> None:
    """And names no place that only its writer has."""
    lock = (ROOT / "requirements.lock").read_text()
    assert "file:" not in lock
    assert "://" not in lock
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for requirement in map(Requirement, project["dependencies"] + project["optional-dependencies"]["dev"][1:]):
        assert requirement.specifier.contains(locked[requirement.name.lower()], prereleases=True), requirement


def test_sources_stay_small() -> None:
    long = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > 350} == {}
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_every_module_has_a_docstring() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_checkpoints_are_never_unpickled() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        for call in re.findall(r"torch\.load\([^)]*\)", path.read_text()):
            assert "weights_only=True" in call, path
