"""TensorBoard's event file: one per run folder, complete at any time."""

import os
import socket
import time
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.writer import FileWriter

from housenumbers.tracking.run_folder import EVENTS, list_event_files


class EventFile(SummaryWriter):
    """A SummaryWriter with the only event file of its folder: opening it empties earlier event files.

    With several files in a folder TensorBoard shows a step once, twice, or not at all, depending on its loader and on
    the file names, which begin with the time. So a resumed run writes all data again into a new file.

    Each call writes synchronously and raises OSError itself. The writer of torch does both in a thread, which ends with
    a separate traceback where the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Purging from step 0 makes a running TensorBoard discard the data of earlier files.
        super().__init__(str(folder), purge_step=0)

    def _get_file_writer(self) -> FileWriter:
        if self.file_writer is not None:
            return self.file_writer
        writer = _FileWriter(self._folder)
        self.file_writer, self.all_writers = writer, {self.log_dir: writer}  # type: ignore[assignment]
        writer.add_event(Event(file_version="brain.Event:2"))
        writer.add_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        return writer

    def restart_if_lost(self) -> bool:
        """Whether another program removed or changed the file. Then a new file, without data, takes its place."""
        writer = self.file_writer
        if not isinstance(writer, _FileWriter) or writer.event_writer.is_intact():
            return False
        writer.close()
        self.file_writer = None
        self._get_file_writer()
        return True


class _FileWriter(FileWriter):
    def __init__(self, folder: Path) -> None:
        self.event_writer = _Records(folder)


class _Records:
    """The target of torch's FileWriter: writes records to a new event file without a buffer or a thread."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        earlier = list_event_files(folder)
        # A running TensorBoard reads only names that sort after the known ones; the clock may have been set back.
        stamps = [file.name.removeprefix(EVENTS).partition(".")[0] for file in earlier]
        stamp = max([int(time.time()), *(int(before) + 1 for before in stamps if before.isdecimal())])
        for file in earlier:
            is_own = file.is_file() and not file.is_symlink()  # a link may be broken, or lead to a foreign file
            if is_own and file.stat().st_size:
                os.truncate(file, 0)  # not removed: a running loader of --load_fast=false would stay on it forever
            else:
                file.unlink()
        self._path = folder / f"{EVENTS}{stamp:010d}.{socket.gethostname()}.{os.getpid()}.0"
        self._file = self._path.open("xb", buffering=0)
        self._records = RecordWriter(self)

    def add_event(self, event: Event) -> None:
        self._records.write(event.SerializeToString())

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:  # an unbuffered write may be partial
                left = left[self._file.write(left) :]
        except OSError as error:
            error.filename = str(self._path)
            raise

    def is_intact(self) -> bool:
        """Whether the file is still in its place, and as long as what was written."""
        try:
            status = self._path.stat()
        except OSError:
            return False
        return os.path.samestat(status, os.fstat(self._file.fileno())) and status.st_size == self._file.tell()

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()
