"""The lock file that a run's record names, and the way back to its versions."""

import hashlib
from pathlib import Path

import pytest

from housenumbers.runtime import versions


def write_lock(path: Path, **others: str) -> str:
    pinned = {name: number.partition("+")[0] for name, number in versions.package_versions().items()} | others
    lines = [f"{name}=={number} \\\n    --hash=sha256:{'0' * 64}\n" for name, number in pinned.items()]
    path.write_text("# made by a test\n" + "".join(lines))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_lock_is_named_where_the_installed_versions_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    monkeypatch.setattr(versions, "LOCK", lock)
    assert versions.lock_sha256() is None
    sha256 = write_lock(lock)
    assert versions.lock_sha256() == sha256
    write_lock(lock, torch="2.0.0")
    assert versions.lock_sha256() is None


def test_the_way_back_names_the_commit_where_the_lock_is_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    monkeypatch.setattr(versions, "LOCK", lock)
    sha256 = write_lock(lock)
    assert versions.how_to_install(None, "abc") is None
    assert versions.how_to_install(sha256, "abc") == (
        "the first run had the versions of requirements.lock: make install LOCKED=1 installs them"
    )
    assert "at commit abc" in str(versions.how_to_install("1" * 64, "abc"))
