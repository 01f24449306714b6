"""The house's own rules: who may import whom, one list of dependencies, and sizes."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from support import ROOT

PACKAGE = ROOT / "src" / "housenumbers"

# Whom a room may import besides itself. The ground floor (config, errors, files, command_line) is open to the rooms
# that are listed with it.
GROUND = {
    "common", "composition", "config", "device", "errors", "files", "groups", "interrupts", "messages", "processes",
    "sections", "targets", "words",
}  # fmt: skip
MAY_IMPORT = {
    "models": set(),
    "evaluation": set(),
    "data": GROUND,
    "tracking": GROUND,
    "preflight": GROUND | {"data"},
    "sweeps": GROUND | {"preflight", "tracking"},
    "training": GROUND | {"data", "models", "evaluation", "preflight", "tracking"},
    "reports": GROUND | {"data", "evaluation", "tracking", "training"},
    "inference": GROUND | {"data", "models", "evaluation", "tracking", "training"},
    "demo": GROUND | {"data", "evaluation", "tracking", "training", "inference", "reports"},
    "composition": {"config", "errors", "messages"},
    "common": {"groups"},
    "config": {"common", "errors", "groups", "messages", "processes", "sections"},
    "sections": {"groups"},
    "device": {"errors", "interrupts", "messages"},
    "groups": {"errors", "messages"},
    "errors": {"processes"},
    "files": {"errors"},
    "interrupts": set(),
    "processes": set(),
    "messages": set(),
    "words": {"config", "errors", "messages"},
    "targets": {"errors", "messages"},
    "command_line": {"config", "errors", "messages"},
}


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "housenumbers":
            words = node.module.split(".")[1:]
            rooms |= {words[0]} if words else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            rooms |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("housenumbers.")}
    return rooms


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_rooms_import_only_whom_they_may(path: Path) -> None:
    room = _room(path)
    if room == "__init__":
        return
    assert _imported_rooms(path) <= MAY_IMPORT[room] | {room}


def test_environment_yml_has_the_dependencies_of_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"][0] == "conda-forge"
    (python,) = [line for line in environment["dependencies"] if str(line).startswith("python=")]
    assert (3, 11) <= tuple(map(int, python.removeprefix("python=").split("."))) <= (3, 13)
    (pip,) = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    assert pip == project["dependencies"]


def test_sources_stay_small() -> None:
    long = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "src").rglob("*.py")}
    assert {name: lines for name, lines in long.items() if lines > 350} == {}
    assert len((ROOT / "README.md").read_text().splitlines()) < 200


def test_every_module_says_which_room_it_is() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_checkpoints_are_never_unpickled() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        for call in re.findall(r"torch\.load\([^)]*\)", path.read_text()):
            assert "weights_only=True" in call, path
