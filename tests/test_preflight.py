"""What is not there is said before torch is loaded or a folder made."""

from pathlib import Path

import pytest
from support import Command

from housenumbers.config.sections import DataConfig
from housenumbers.preflight import check_files_and_device
from housenumbers.runtime.errors import UserError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=svhn", "data.root=/nowhere", "data.download=false"], "/nowhere/train_32x32.mat"),
        (["data=folder", "data.root=/nowhere"], "data.root=/nowhere"),
        (["data=synthetic", "data.fonts=/nowhere"], "data.fonts=/nowhere"),
        (["data=digits", "model.pretrained=/nowhere.pt"], "model.pretrained=/nowhere.pt"),
        (["data=digits", "model.pretrained=run:/nowhere"], "/nowhere/checkpoints/best.pt"),
    ],
)
def test_missing_data_and_weights_leave_no_folder(
    command: Command, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    done = command("train", *words, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert [file.name for file in tmp_path.iterdir() if file.name != "__pycache__"] == ["torch.py"]


@pytest.mark.parametrize(
    "words",
    [
        ["data=folder", "data.root=/nowhere", "seed=1,2"],
        ["data=svhn", "data.root=/nowhere", "data.download=false", "seed=1,2"],
        ["data=digits", "device=cuda:99", "seed=1,2"],
        ["data=folder", "data.root=/nowhere", "hydra/sweeper=optuna"],
        ["data=digits", "device=cuda:99", "hydra/sweeper=optuna"],
    ],
)
def test_a_multirun_or_search_looks_before_it_makes_a_folder(
    command: Command, tmp_path: Path, words: list[str]
) -> None:
    done = command("train", "-m", *words)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert next(word for word in words if "nowhere" in word or "99" in word).rpartition("=")[2] in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["torch.optim.Nope", "mine.Optimizer"])
def test_a_target_that_is_not_there_leaves_no_folder(command: Command, tmp_path: Path, target: str) -> None:
    done = command("train", "data=digits", f"optimizer._target_={target}", HOUSENUMBERS_ALLOW="mine.*")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: optimizer: {target}: ")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_not_read_leave_no_run(command: Command, tmp_path: Path) -> None:
    for name in ("1", "10"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "a.png").touch()
    done = command("train", "data=folder", "data.root=images")
    assert done.returncode == 2
    assert "images/10: no class of ours" in done.stderr
    assert not (tmp_path / "outputs").exists()


def test_the_test_file_of_svhn_is_looked_for_too(svhn_folder: Path) -> None:
    values = {
        "name": "svhn", "batch_size": 16, "reduce": 1.0, "val_fraction": 0.2, "split": "blocks", "split_seed": 0,
        "root": str(svhn_folder), "download": False, "verify": False, "use_extra": "true", "cache": None,
    }  # fmt: skip
    data = DataConfig(**values)  # type: ignore[arg-type]
    check_files_and_device(data, False, "cpu")
    (svhn_folder / "test_32x32.mat").unlink()
    with pytest.raises(UserError, match=r"test_32x32\.mat: no such file"):
        check_files_and_device(data, False, "cpu")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"])
def test_a_file_of_another_format_leaves_no_folder(
    svhn_folder: Path, command: Command, tmp_path: Path, content: bytes
) -> None:
    (svhn_folder / "train_32x32.mat").write_bytes(content)
    done = command("train", "data=svhn", f"data.root={svhn_folder}", "data.verify=false")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "train_32x32.mat: " in line
    assert "which cannot be read here" in line
    assert not (tmp_path / "outputs").exists()


def test_a_device_that_is_not_there_leaves_no_folder(command: Command, tmp_path: Path) -> None:
    done = command("train", "data=digits", "device=cuda:99")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "device=cuda:99" in line
    assert not (tmp_path / "outputs").exists()
