"""Puts conf/ and the commands of src/ into a wheel, which a checkout has beside the package."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


def _copy(source: str | Path, target: str | Path) -> None:
    """Copies a text in which help and comments name what a user of a wheel types: see runtime/installation.py."""
    text = Path(source).read_text(encoding="utf-8")
    text = re.sub(r"python src/(\w+)\.py", r"housenumbers \1", text)
    text = re.sub(r"pip install -e '\.\[(\w+)\]'", r"pip install 'housenumbers[\1]'", text)
    Path(target).write_text(text, encoding="utf-8")


class BuildWithCommands(build_py):
    """Copies both into the package, where the commands find conf/ as in a checkout: in the folder above theirs."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # uses the checkout
            return
        package = Path(self.build_lib) / "housenumbers"
        shutil.copytree(ROOT / "conf", package / "conf", dirs_exist_ok=True, copy_function=_copy)
        (package / "commands").mkdir(parents=True, exist_ok=True)
        for script in sorted((ROOT / "src").glob("*.py")):
            _copy(script, package / "commands" / script.name)


setup(cmdclass={"build_py": BuildWithCommands})
