"""Fixtures for pages."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import Report

import report as entry_point


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    """`python src/report.py ARGUMENTS` in a working folder, but in this process, which has imported torch already."""

    def run(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(home)
        monkeypatch.setattr(sys, "argv", ["report.py", *arguments])
        capsys.readouterr()
        code = 0
        try:
            entry_point.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, said.out, said.err)

    return run
