"""TensorBoard's event file: one in each run folder, complete whenever it is looked at."""

import os
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.writer import FileWriter

from housenumbers.tracking.run_folder import EVENTS


class EventFile(SummaryWriter):
    """A SummaryWriter with the only event file of its folder: earlier ones are emptied when it is opened.

    TensorBoard shows what several files in a folder say on one step once, twice, or not at all, depending on its loader
    and on their names, which begin with the clock's time. So a resumed run writes everything anew, into a new file.

    What is added is in the file when the call returns, and OSError is raised by that call: the writer of torch leaves
    both to a thread, which ends in a traceback of its own where the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Purging from step 0 makes a TensorBoard that has read the file before forget all that it said.
        super().__init__(str(folder), purge_step=0)

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is not None:
            return self.file_writer
        writer = _FileWriter(self._folder)
        self.file_writer, self.all_writers = writer, {self.log_dir: writer}  # type: ignore[assignment]
        writer.add_event(Event(file_version="brain.Event:2"))
        writer.add_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        return writer


def list_event_files(folder: Path) -> list[Path]:
    """The event files in a folder itself, by name."""
    return sorted(folder.glob(f"{EVENTS}*"))


class _FileWriter(FileWriter):
    def __init__(self, folder: Path) -> None:
        self.event_writer = _Records(folder)


class _Records:
    """What torch's FileWriter writes to: the records of a new event file, without a buffer or a thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = list_event_files(folder)
        # A TensorBoard at work goes on to names that sort after those which it knows; the clock may have been set back.
        stamps = [file.name.removeprefix(EVENTS).partition(".")[0] for file in earlier]
        stamp = max([int(time.time()), *(int(before) + 1 for before in stamps if before.isdecimal())])
        for file in earlier:
            is_own = file.is_file() and not file.is_symlink()  # a link may lead nowhere, or to somebody else's file
            if is_own and file.stat().st_size:
                os.truncate(file, 0)  # not removed: the loader of --load_fast=false, at work on it, would never go on
            else:
                file.unlink()
        self._folder = folder
        self._path = folder / f"{EVENTS}{stamp:010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = self._path.open("xb", buffering=0)
        self._records = RecordWriter(self)

    def add_event(self, event: Event) -> None:
        self._records.write(event.SerializeToString())

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:  # an unbuffered file may take a part
                left = left[self._file.write(left) :]
        except OSError as error:
            error.filename = str(self._path)
            raise

    def get_logdir(self) -> str:
        return str(self._folder)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()

    def reopen(self) -> None:
        pass
