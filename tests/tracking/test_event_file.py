"""The event file, read as TensorBoard reads it."""

import errno
import os
import time
from pathlib import Path

import pytest
from boards import LOADERS, opened, scalars, shown_by

from housenumbers.tracking.event_file import EventFile
from housenumbers.tracking.run_folder import list_event_files

WHOLE = {"Loss/train": [(1, 0.5), (2, 0.25), (3, 0.125)]}


def write(folder: Path, epochs: int) -> None:
    with EventFile(folder) as events:
        for epoch in range(1, epochs + 1):
            events.add_scalar("Loss/train", 0.5**epoch, epoch)


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("clock", [0, 3600, -3600])
def test_a_second_writer_replaces_what_the_first_one_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loader: str, clock: int
) -> None:
    write(tmp_path, 2)
    now = time.time()
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now + clock)
        write(tmp_path, 3)
    assert scalars(tmp_path, loader) == WHOLE
    write(tmp_path, 3)
    assert scalars(tmp_path, loader) == WHOLE
    assert len(list_event_files(tmp_path)) == 2  # this one, and the empty one before it


def test_links_and_pipes_in_the_place_of_an_event_file_are_replaced(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("somebody else's")
    run = tmp_path / "run"
    run.mkdir()
    for number, target in enumerate(("nowhere", other)):
        (run / f"events.out.tfevents.{number}.host.1.0").symlink_to(target)
    os.mkfifo(run / "events.out.tfevents.3.host.1.0")
    write(run, 3)
    assert len(list_event_files(run)) == 1
    assert scalars(run, LOADERS[0]) == WHOLE
    assert other.read_text() == "somebody else's"


@pytest.mark.parametrize("clock", [0, -3600])
def test_a_tensorboard_at_work_sees_the_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: int) -> None:
    write(tmp_path, 2)
    board = opened(tmp_path)
    now = time.time()
    with monkeypatch.context() as patched:
        patched.setattr(time, "time", lambda: now + clock)
        write(tmp_path, 3)
    board.Reload()
    assert shown_by(board, tmp_path) == WHOLE


def test_what_is_added_is_in_the_file_at_once(tmp_path: Path) -> None:
    with EventFile(tmp_path) as events:
        events.add_scalar("Loss/train", 0.5, 1)
        assert scalars(tmp_path, "--load_fast=false") == {"Loss/train": [(1, 0.5)]}


def test_a_lost_file_is_noticed_and_replaced(tmp_path: Path) -> None:
    with EventFile(tmp_path) as events:
        events.add_scalar("Loss/train", 0.5, 1)
        assert not events.restart_if_lost()
        (file,) = list_event_files(tmp_path)
        file.unlink()
        assert events.restart_if_lost()
        assert not events.restart_if_lost()
        events.add_scalar("Loss/train", 0.25, 1)
        assert scalars(tmp_path, "--load_fast=false") == {"Loss/train": [(1, 0.25)]}
        list_event_files(tmp_path)[0].write_bytes(b"")
        assert events.restart_if_lost()


def test_a_file_that_cannot_grow_is_an_error_of_the_call_that_names_the_file(tmp_path: Path) -> None:
    """Torch's writer would leave it to a thread, which prints a traceback."""
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with EventFile(tmp_path) as events:
        resource.setrlimit(resource.RLIMIT_FSIZE, (events_size(tmp_path) + 10, limit[1]))
        try:
            with pytest.raises(OSError, match=r"events\.out\.tfevents") as raised:
                events.add_scalar("Loss/train", 0.5, 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert raised.value.errno == errno.EFBIG


def events_size(folder: Path) -> int:
    (file,) = list_event_files(folder)
    return file.stat().st_size
