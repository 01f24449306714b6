"""The Python of docs/python.md runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support import ROOT, environment

PAGE = (ROOT / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_runs(code: str, tmp_path: Path) -> None:
    Image.new("RGB", (60, 40), (200, 30, 30)).save(tmp_path / "photo.png")
    small = code.replace('"data=digits"', '"data=digits", "data.reduce=0.3"').replace('"data.reduce=0.5", ', "")
    path = os.pathsep.join([str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", small], cwd=tmp_path, env=environment(PYTHONPATH=path, OMP_NUM_THREADS="1"),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
