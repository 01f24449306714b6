"""Checkpoints load as data or not at all."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from support import Command

from housenumbers.evaluation.trained_model import rebuild_model
from housenumbers.runtime.errors import UserError
from housenumbers.training.checkpoint import load_checkpoint, weights_sha256


class Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", ["best.pt", "last.pt"])
def test_a_checkpoint_is_plain_data_that_rebuilds_the_model(finished: Path, name: str) -> None:
    file = finished / "checkpoints" / name
    content = torch.load(file, weights_only=True)
    model = rebuild_model(content, file, torch.device("cpu"))
    assert weights_sha256(model.state_dict()) == weights_sha256(content["model"])
    assert model.eval()(torch.zeros(2, 3, 32, 32, dtype=torch.uint8)).shape == (2, 10)


@pytest.mark.parametrize("save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))])
def test_a_pickle_bomb_is_refused_in_one_line(tmp_path: Path, command: Command, save: object) -> None:
    bomb = tmp_path / "bomb.pt"
    save({"format": 1, "config": Bomb(tmp_path / "exploded")}, bomb)  # type: ignore[operator]
    with pytest.raises(UserError, match="refused"):
        load_checkpoint(bomb)
    done = command("evaluate", f"run={bomb}")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("keep", [0, 10, 5000])
def test_a_truncated_checkpoint_is_one_line(finished: Path, tmp_path: Path, keep: int) -> None:
    file = tmp_path / "half.pt"
    file.write_bytes((finished / "checkpoints" / "best.pt").read_bytes()[:keep])
    with pytest.raises(UserError, match=r"half\.pt"):
        load_checkpoint(file)


def test_a_checkpoint_with_one_changed_bit_is_one_line(finished: Path, tmp_path: Path) -> None:
    """Torch itself reads such a file, and gives other weights."""
    content = bytearray((finished / "checkpoints" / "best.pt").read_bytes())
    weights = torch.load(finished / "checkpoints" / "best.pt", weights_only=True)["model"]["head.weight"]
    content[content.index(weights.numpy().tobytes())] ^= 1
    file = tmp_path / "flipped.pt"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"flipped\.pt"):
        load_checkpoint(file)


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(UserError, match="not a checkpoint of this program"):
        load_checkpoint(tmp_path / "other.pt")
    with pytest.raises(UserError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "missing.pt")


@pytest.mark.parametrize("content", ['{"status": "completed"}', "epoch,loss\n1,2.3\n", "\x89PNG"])
def test_a_file_of_another_kind_is_not_called_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"file: is no checkpoint: name a run's folder"):
        load_checkpoint(tmp_path / "file")


def test_the_hash_sees_every_bit_and_name() -> None:
    state = {"a": torch.zeros(3), "b": torch.tensor(1)}
    changed = torch.zeros(3)
    changed[2] = -0.0
    hashes = {weights_sha256(other) for other in ({**state, "a": changed}, {"c": state["a"], "b": state["b"]}, state)}
    assert len(hashes) == 3
