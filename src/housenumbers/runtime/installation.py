"""Whether this code is a checkout or was installed from a wheel, where conf/ is then, and what a user types."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]

# A wheel has conf/ and the commands inside the package (setup.py); the folders around it are then not this project's.
CHECKOUT: Path | None = None if (_PACKAGE / "conf").is_dir() else _PACKAGE.parents[1]
CONF = (CHECKOUT or _PACKAGE) / "conf"


def command(name: str) -> str:
    """The words that start a command: "python src/train.py", or "housenumbers train" where there is no checkout."""
    return f"python src/{name}.py" if CHECKOUT else f"housenumbers {name}"


def pip_install(extra: str) -> str:
    """The command that installs an optional dependency of pyproject.toml."""
    return f"pip install -e '.[{extra}]'" if CHECKOUT else f"pip install 'housenumbers[{extra}]'"
