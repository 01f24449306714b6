"""The checkpoints with which a trial continues an interrupted one."""

from pathlib import Path

import pytest

from housenumbers.sweeps.worker import _copy_checkpoints
from housenumbers.tracking.removed_checkpoints import NOTE_FILE


def test_all_but_the_note_is_copied(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "trial/checkpoints"
    source.mkdir()
    for name in ("last.pt", "best.pt", NOTE_FILE):
        (source / name).write_text(name)
    _copy_checkpoints(source, target)
    assert {file.name: file.read_text() for file in target.iterdir()} == {"last.pt": "last.pt", "best.pt": "best.pt"}


def test_what_could_not_be_copied_leaves_no_part_and_names_the_file(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "trial/checkpoints"
    source.mkdir()
    (source / "best.pt").write_text("best")
    (source / "last.pt").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError) as error:
        _copy_checkpoints(source, target)
    assert error.value.filename == str(source / "last.pt")
    assert not list(target.parent.iterdir())
