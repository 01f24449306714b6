#!/usr/bin/env bash
# TensorBoard: an event file that is deleted under a running server stops that run for ever; an emptied one does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tensorboard==2.21.0
cd "$folder"
"$folder/venv/bin/python" - 2> errors.txt <<'PYTHON' || { cat errors.txt; exit 1; }
import os
import tempfile
from pathlib import Path

import tensorboard
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def write(folder, steps, suffix=""):
    writer = EventFileWriter(str(folder), filename_suffix=suffix)  # the suffix makes a later name than before
    writer.add_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))  # forget what was before
    for step in steps:
        value = Summary.Value(tag="loss", simple_value=float(step))
        writer.add_event(Event(step=step, summary=Summary(value=[value])))
    writer.close()


def shown_after(change):
    """The steps that a server shows which was at work while the run's event file was replaced by a new one."""
    folder = Path(tempfile.mkdtemp(dir="."))
    write(folder, [1])
    server = EventMultiplexer()  # what --load_fast=false reads with
    server.AddRunsFromDirectory(str(folder))
    server.Reload()
    (old,) = folder.iterdir()
    change(old)
    write(folder, [1, 2, 3], ".z")
    for _ in range(3):
        server.Reload()
    return [event.step for event in server.Tensors(".", "loss")]


deleted, emptied = shown_after(os.unlink), shown_after(lambda file: os.truncate(file, 0))
print("tensorboard", tensorboard.__version__)
print("after the old file was deleted:", deleted, "after it was emptied:", emptied)
# Seen: the loader raises at the missing file at each reload, and never goes on to the next name. So a program that
# writes a run's events anew must not remove the old file while somebody may be looking, but empty it.
assert deleted == [1]
assert emptied == [1, 2, 3]
PYTHON
