"""What is not there, and what cannot be, is said before a folder is made, and most of it before torch is loaded."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from support import Command, composed, data_config, run_in

from housenumbers import pretrained
from housenumbers.config.sections import DataConfig
from housenumbers.data.load import load_splits, load_test
from housenumbers.data.mat_contents import check_mat_contents
from housenumbers.preflight import check_before_run, check_files_and_device
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


_DIGITS = str(pretrained.MODELS[pretrained.DIGITS].file)
_FASTNET = ("data=digits", "model=fastnet", "model.channels=[32,64,104]", "model.convolutions=[2,3,2]")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["model.pretrained=true", "model.channels=[8,16]", "model.convolutions=[1,1]"], "trained with model.c"),
        (["model.pretrained=true", "model.activation=relu"], "trained with model.activation=gelu, not relu: set model"),
        ([f"model.pretrained={_DIGITS}", "model.activation=silu"], "with model.activation=gelu, not silu: set model"),
    ],
)
def test_weights_of_another_model_leave_no_folder(
    command: Command, tmp_path: Path, words: list[str], said: str
) -> None:
    for more in ((), ("-m", "seed=1,2")):
        done = command("train", *_FASTNET, *words, *more)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {words[0]}: ")
        assert said in line
        assert list(tmp_path.iterdir()) == []


def test_weights_are_checked_though_torchrun_has_a_device_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    config = composed(*_FASTNET, "model.pretrained=true", "model.activation=relu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"with model\.activation=gelu, not relu"):
        check_before_run(config)


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


OWN_OPTIONS = {
    "scheduler/no_period": "_target_: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts\nT_0: 0\n",
    "scheduler/frequency": "_target_: torch.optim.lr_scheduler.ExponentialLR\ngamma: 0.5\nfrequency: 3\n",
    "scheduler/below_zero": "_target_: torch.optim.lr_scheduler.ExponentialLR\ngamma: -0.5\n",
    "scheduler/no_steps": "_target_: torch.optim.lr_scheduler.CyclicLR\nbase_lr: 0.1\nmax_lr: 0.2\nstep_size_up: 0\n",
    "scheduler/short": "_target_: torch.optim.lr_scheduler.OneCycleLR\nmax_lr: 0.1\ntotal_steps: 2\n",
    "optimizer/closure": "_target_: torch.optim.LBFGS\nlr: 0.1\n",
    "optimizer/sparse": "_target_: torch.optim.SparseAdam\nlr: 0.1\n",
    "optimizer/negative": "_target_: torch.optim.RMSprop\nlr: 0.1\nalpha: -1\n",
}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scheduler=no_period"], "scheduler: Expected positive integer T_0"),
        (["scheduler=frequency"], "'frequency'"),
        (["scheduler=below_zero", "epochs=2"], "scheduler: sets the learning rate to -"),
        (["scheduler=no_steps", "optimizer=sgd"], "scheduler: torch.optim.lr_scheduler.CyclicLR: divides by zero"),
        (["scheduler=short"], "scheduler.total_steps=2"),
        (["optimizer=closure"], "optimizer: LBFGS"),
        (["optimizer=sparse"], "optimizer: SparseAdam"),
        (["optimizer=negative"], "optimizer: Invalid alpha value: -1"),
        (["optimizer=sgd", "+optimizer.nonsense=1"], "'nonsense'"),
        (["+model.nonsense=1"], "'nonsense'"),
        (["model.freeze=9"], "model.freeze=9: this model has"),
        (["progressive.freeze_after=[0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9]"], "progressive.freeze_after="),
        (["model=torchvision", "model.architecture=nonsense"], "model.architecture=nonsense"),
        (["+metrics.mine._target_=torch.optim.Adam"], "metrics.mine: "),
        (["-m", "seed=1,2", "scheduler=no_period"], "scheduler: Expected positive integer T_0"),
        (["-m", "hydra/sweeper=optuna", "scheduler=no_period"], "scheduler: Expected positive integer T_0"),
    ],
)
def test_options_that_only_their_own_code_can_check_leave_no_folder(
    command: Command, tmp_path: Path, words: list[str], said: str
) -> None:
    for name, text in OWN_OPTIONS.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / f"{name}.yaml").write_text(text)
    done = command("train", "data=digits", "--config-dir=mine", *words)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert said in line
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


OWN_CODE = """
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import LRScheduler


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.nonsense


class Metric:
    def __init__(self):
        raise TypeError("no weights")


class Shapes:
    def __call__(self, logits, labels):
        return logits


class Steps(SGD):
    def step(self, closure=None):
        return {}["nonsense"]


class Falls(LRScheduler):
    def get_lr(self):
        return self.base_lrs if self.last_epoch == 0 else self.nonsense


class Returns(LRScheduler):
    def __init__(self, optimizer, returned):
        self.returned = returned
        super().__init__(optimizer)

    def get_lr(self):
        return self.base_lrs if self.last_epoch == 0 else self.returned


class Halves(LRScheduler):
    def get_lr(self):
        return [torch.tensor(rate * 0.5**self.last_epoch) for rate in self.base_lrs]
"""


@pytest.fixture
def own_code(command: Command, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Trains with OWN_CODE in the package `mine`."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/parts.py").write_text(OWN_CODE)
    allowed = {"HOUSENUMBERS_ALLOW": "mine.*", "PYTHONPATH": str(tmp_path)}
    return lambda *words: command("train", "data=digits", *words, **allowed)


@pytest.mark.parametrize("target", ["model._target_=mine.parts.Net", "optimizer._target_=mine.parts.Steps",
                                    "scheduler._target_=mine.parts.Falls"])  # fmt: skip
def test_a_bug_in_custom_code_keeps_its_traceback_and_its_key(own_code: Any, tmp_path: Path, target: str) -> None:
    group = target.partition(".")[0]
    (tmp_path / f"conf/{group}").mkdir(parents=True)
    name = target.partition("=")[2]
    more = {"model": "name: own", "optimizer": "lr: 0.1", "scheduler": ""}[group]
    (tmp_path / f"conf/{group}/own.yaml").write_text(f"_target_: {name}\n{more}\n")
    done = own_code("--config-dir=conf", f"{group}=own")
    assert done.returncode == 1
    first, *_, error, last = done.stderr.splitlines()
    assert first == "Traceback (most recent call last):"
    assert "nonsense" in error
    assert last == f"{target}: its own code fails"
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("returned", ["text", "null", "[]", "[text]", "[null]", "[[1]]"])
def test_a_custom_scheduler_that_returns_no_learning_rates_is_one_line(
    own_code: Any, tmp_path: Path, returned: str
) -> None:
    (tmp_path / "conf/scheduler").mkdir(parents=True)
    (tmp_path / "conf/scheduler/own.yaml").write_text(f"_target_: mine.parts.Returns\nreturned: {returned}\n")
    done = own_code("--config-dir=conf", "scheduler=own")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: scheduler: ")
    assert line.endswith("its get_lr must return a list, with a number for each group of parameters of the optimizer")
    assert not (tmp_path / "outputs").exists()


def test_a_custom_scheduler_may_return_tensors(own_code: Any, tmp_path: Path) -> None:
    (tmp_path / "conf/scheduler").mkdir(parents=True)
    (tmp_path / "conf/scheduler/own.yaml").write_text("_target_: mine.parts.Halves\n")
    tiny = ("data.reduce=0.3", "model.width=4", "epochs=2", "threads=1")
    done = own_code(*tiny, "hydra.run.dir=run", "--config-dir=conf", "scheduler=own")
    assert done.returncode == 0, done.stderr
    rates = [json.loads(line)["lr"] for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert rates == pytest.approx([0.0013, 0.00065])


def test_a_bug_in_a_metric_is_one_line_before_a_folder_is_made(own_code: Any, tmp_path: Path) -> None:
    done = own_code("+metrics.mine._target_=mine.parts.Metric")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: metrics.mine: creating mine.parts.Metric: TypeError: no weights (")
    assert line.endswith("parts.py, line 16)")
    done = own_code("+metrics.mine._target_=mine.parts.Shapes")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line == "error: metrics.mine: returns a tensor [200, 10]: must be a number"
    assert not (tmp_path / "outputs").exists()


def test_options_of_ones_own_that_fit_are_not_refused() -> None:
    option = {"_target_": "torch.optim.lr_scheduler.ExponentialLR", "gamma": 0.5}
    config = composed("data=digits", "optimizer=sgd", "+optimizer.maximize=false", "epochs=3")
    config.scheduler = option
    check_before_run(config)
    whole_run = {"_target_": "torch.optim.lr_scheduler.OneCycleLR", "max_lr": 0.1, "interval": "batch"}
    for length in ({"total_steps": None}, {"total_steps": 3}, {"total_steps": 10_000}):
        config.scheduler = whole_run | length
        check_before_run(config)


def test_folders_that_are_not_read_leave_no_run(command: Command, tmp_path: Path) -> None:
    for name in ("1", "10"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "a.png").touch()
    done = command("train", "data=folder", "data.root=images")
    assert done.returncode == 2
    assert "images/10: not a class" in done.stderr
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


PIXELS, LABELS = np.zeros((32, 32, 3, 20), np.uint8), np.arange(20)[:, None] % 10 + 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"X": PIXELS, "y": LABELS - 1}, "labels from 0 to 9 instead of 1 to 10"),
        ({"X": PIXELS, "y": LABELS + 1}, "labels from 2 to 11"),
        ({"X": PIXELS, "y": LABELS[:19]}, "20 images but 19 labels"),
        ({"X": PIXELS[:28], "y": LABELS}, "X is uint8 [28, 32, 3, 20]"),
        ({"X": PIXELS.transpose(3, 0, 1, 2).astype(float), "y": LABELS}, "X is float64 [20, 32, 32, 3]"),
        ({"X": PIXELS[..., :0], "y": LABELS[:0]}, "holds no images"),
        ({"images": PIXELS, "y": LABELS}, "no variables X and y"),
    ],
)
@pytest.mark.parametrize("name", ["svhn", "svhn_6k"])
def test_a_mat_file_of_other_content_is_noticed_from_its_headers(
    svhn_folder: Path, name: str, content: dict[str, Any], said: str
) -> None:
    for compressed in (True, False):
        scipy.io.savemat(svhn_folder / "test_32x32.mat", content, do_compression=compressed)
        with pytest.raises(UserError, match=re.escape(said)):
            check_files_and_device(data_config(svhn_folder, name=name), False, "cpu")


def test_a_mat_file_that_was_cut_off_is_noticed(svhn_folder: Path) -> None:
    file = svhn_folder / "test_32x32.mat"
    file.write_bytes(file.read_bytes()[:200_000])
    with pytest.raises(UserError, match="damaged"):
        check_files_and_device(data_config(svhn_folder), False, "cpu")


def test_other_content_leaves_no_folder_and_torch_is_not_loaded(
    svhn_folder: Path, command: Command, tmp_path: Path
) -> None:
    scipy.io.savemat(svhn_folder / "test_32x32.mat", {"X": PIXELS, "y": LABELS - 1})
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    for words, said in ((["data.verify=false"], "labels from 0"), ([], "not the official file")):
        done = command("train", "data=svhn", f"data.root={svhn_folder}", *words, PYTHONPATH=str(tmp_path))
        assert done.returncode == 2, done.stderr
        (line,) = done.stderr.splitlines()
        assert said in line
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("pixels", [np.full((32, 32, 3, 20), 0.5), np.full((32, 32, 3, 20), 1j), np.eye(32, 61440) > 0])
def test_pixels_that_are_none_leave_no_folder(command: Command, svhn_folder: Path, pixels: Any) -> None:
    pixels = pixels.reshape(32, 32, 3, -1)[..., :20]
    scipy.io.savemat(svhn_folder / "test_32x32.mat", {"X": pixels, "y": LABELS[:20]})
    done = command("train", "data=svhn", f"data.root={svhn_folder}", "data.verify=false")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"{svhn_folder}/test_32x32.mat: X is {pixels.dtype.name.replace('bool', 'uint8')} [32, 32, 3, 20]" in line
    assert not (svhn_folder.parent / "outputs").exists()


def test_the_headers_of_a_large_compressed_file_take_a_moment(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3, 5000), np.uint8)
    scipy.io.savemat(tmp_path / "a.mat", {"X": pixels, "y": np.ones((5000, 1))}, do_compression=True)
    check_mat_contents(tmp_path / "a.mat")  # imports scipy.io
    started = time.process_time()
    check_mat_contents(tmp_path / "a.mat")
    headers = time.process_time() - started
    started = time.process_time()
    scipy.io.loadmat(tmp_path / "a.mat")
    assert headers < (time.process_time() - started) / 3


def test_a_file_that_was_decoded_before_is_not_looked_at_again(
    svhn_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_config(svhn_folder)
    check_files_and_device(data, False, "cpu")
    load_splits(data)
    load_test(data)
    monkeypatch.setattr("housenumbers.data.mat_contents.check_mat_contents", pytest.fail)
    check_files_and_device(data, False, "cpu")


def test_a_device_that_is_not_there_leaves_no_folder(command: Command, tmp_path: Path) -> None:
    done = command("train", "data=digits", "device=cuda:99")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "device=cuda:99" in line
    assert not (tmp_path / "outputs").exists()


def test_a_folder_in_the_place_of_a_mat_file_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    (tmp_path / "data" / "train_32x32.mat").mkdir(parents=True)
    done = run_in(tmp_path, "train", "data=svhn", "data.root=data")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "train_32x32.mat: is not a file" in line
    assert not (tmp_path / "outputs").exists()
