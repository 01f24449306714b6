"""How a file is damaged: by a disk, by a person, by a program, or by someone who means it."""

import json
import os
import random
import shutil
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

Damage = Callable[[Path, random.Random], None]

HOSTILE = (
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**400, "", "text", "../../etc/passwd", "\x00", [], {},
    [None], {"": {}}, 2**63, -0.5,
)  # fmt: skip
_DEEP = 100_000  # brackets in one another


def bytes_damaged(path: Path, chance: random.Random) -> None:
    """Cuts, flips, zeroes, inverts or doubles bytes. Keeps the file's time, and mostly its size, as a bad disk does."""
    content, status = bytearray(path.read_bytes()), path.stat()
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((1, 16, 512, 4096, 65536)))
    match chance.choice(("cut", "bits", "zero", "invert", "double", "append")):
        case "cut":
            del content[start:]
        case "bits" if content:
            for _ in range(chance.choice((1, 1, 3, 20))):
                content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        case "zero":
            content[start:end] = bytes(end - start)
        case "invert":
            content[start:end] = bytes(byte ^ 255 for byte in content[start:end])
        case "double":
            content[start:start] = content[start:end]
        case _:
            content += chance.randbytes(chance.choice((1, 100)))
    path.write_bytes(content)
    if chance.random() < 0.7:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def made_special(path: Path, chance: random.Random) -> None:
    """Puts something in its place that is no ordinary file, or nothing."""
    path.unlink()
    match chance.choice(("missing", "empty", "folder", "pipe", "lost link", "ring", "null", "socket")):
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "lost link":
            path.symlink_to("nowhere")
        case "ring":
            path.symlink_to(path.name)
        case "null":
            path.symlink_to("/dev/null")
        case "socket":
            here = os.open(path.parent, os.O_RDONLY)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(f"/proc/self/fd/{here}/{path.name}")  # an address is at most 107 characters long
            os.close(here)


def swapped_with(pattern: str) -> Damage:
    """Puts another file, found by a pattern from three folders above it, in its place; with its own time and size."""

    def swap(path: Path, chance: random.Random) -> None:
        status = path.stat()
        others = [other for other in _home(path).glob(pattern) if other.is_file() and other != path]
        alike = [other for other in others if other.read_bytes() != path.read_bytes()]
        shutil.copyfile(chance.choice(sorted(alike)), path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    return swap


def _home(path: Path) -> Path:
    return next(parent for parent in path.parents if (parent / "outputs").is_dir())


def json_edited(path: Path, chance: random.Random) -> None:
    """Gives one value of a JSON file, or of one of its lines, a type or size that nobody expects, or drops it."""
    if chance.random() < 0.1:
        path.write_text("[" * _DEEP + "]" * _DEEP)
        return
    lines = [path.read_text()] if path.suffix == ".json" else path.read_text().splitlines()
    number = chance.randrange(len(lines))
    lines[number] = json.dumps(_edited(json.loads(lines[number]), chance))
    path.write_text("\n".join(lines) + "\n")


def _edited(value: Any, chance: random.Random) -> Any:
    if not value or not isinstance(value, dict | list) or chance.random() < 0.1:
        return chance.choice(HOSTILE)
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = chance.choice(keys)
    if chance.random() < 0.15:
        del value[key]
    else:
        value[key] = _edited(value[key], chance)
    return value


def database_edited(path: Path, chance: random.Random) -> None:
    """Gives one cell of an SQLite database another value, or drops a row or a table."""
    with closing(sqlite3.connect(path)) as database, database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        filled = [table for table in tables if database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]]
        while True:
            table = chance.choice(filled)
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            (row,) = chance.choice(database.execute(f"SELECT rowid FROM {table}").fetchall())
            try:
                match chance.choice(("cell", "cell", "cell", "cell", "row", "table")):
                    case "cell":
                        value = chance.choice([each for each in HOSTILE if not isinstance(each, list | dict)])
                        value = str(value) if value == 10**400 or value == 2**63 else value
                        column = chance.choice(columns)
                        database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))
                    case "row":
                        database.execute(f"DELETE FROM {table} WHERE rowid = ?", (row,))
                    case "table" if chance.random() < 0.2:
                        database.execute(f"DROP TABLE {table}")
                return
            except sqlite3.IntegrityError:  # not every cell takes every value
                continue


def checkpoint_crafted(path: Path, chance: random.Random) -> None:
    """Writes a whole checkpoint again, with a value that no training leaves there."""
    content = torch.load(path, weights_only=True)
    name = chance.choice(sorted(content["model"]))
    weight = content["model"][name]
    match chance.choice(("temperature", "shape", "type", "lost", "more", "nan", "history", "config", "key")):
        case "temperature" if "calibration" in content:
            content["calibration"]["temperature"] = chance.choice((-1.0, 0.0, float("nan"), float("inf"), "1", None))
        case "shape":
            content["model"][name] = torch.zeros(*weight.shape, 2)
        case "type":
            content["model"][name] = chance.choice((weight.tolist(), None, "text", {}))
        case "lost":
            del content["model"][name]
        case "more":
            content["model"]["more"] = weight
        case "nan":
            for each in content["model"].values():
                if each.is_floating_point():
                    each.fill_(float("nan"))
        case "history" if "history" in content:
            content["history"] = chance.choice(
                (None, [], {}, [{}], "text", [*content["history"], *content["history"]], content["history"][1:])
            )
        case "config":
            content["config"]["model"] = chance.choice((None, {}, {"_target_": "os.system"}, "text", {"name": "x"}))
        case _:
            key = chance.choice(sorted(set(content) & {"config", "format", "model", "optimizer", "record"}))
            content[key] = chance.choice((None, {}, "text", 5))
    torch.save(content, path)
