"""Puts conf/ and the commands of src/ into a wheel, which a checkout has beside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildWithCommands(build_py):
    """Copies both into the package, where the commands find conf/ as in a checkout: in the folder above theirs."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # uses the checkout
            return
        package = Path(self.build_lib) / "housenumbers"
        shutil.copytree(ROOT / "conf", package / "conf", dirs_exist_ok=True)
        (package / "commands").mkdir(parents=True, exist_ok=True)
        for script in sorted((ROOT / "src").glob("*.py")):
            shutil.copy(script, package / "commands")


setup(cmdclass={"build_py": BuildWithCommands})
