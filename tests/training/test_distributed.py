"""One run in several processes, and gradients that are summed over parts of a batch. Real processes, really killed."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import torch
from support import ROOT, TINY, composed, environment, only_run, run_folders

from housenumbers.data.batches import micro_batch_count, rank_rows, smallest_micro_batch, training_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.runtime.processes import available_cores
from housenumbers.tracking.run_folder import RunFolder

# Without batch norm, whose statistics would depend on how a batch is divided.
PLAIN = """
import torch
from torch import nn
from torch.nn import functional as F

from housenumbers.models.normalize import Normalize


class Plain(nn.Module):
    def __init__(self, input_size=32):
        super().__init__()
        self.normalize = Normalize(input_size)
        self.conv = nn.Conv2d(3, 4, 5, stride=2)
        self.head = nn.Linear(4, 10)

    def forward(self, images):
        return self.head(F.gelu(self.conv(self.normalize(images))).mean(dim=(2, 3)))


class Noise(nn.Module):
    def forward(self, images):
        return (images.float() + 9 * torch.randn(images.shape)).clamp(0, 255)


def second_guess(logits, labels):
    return (logits.topk(2).indices[:, 1] == labels).double().mean()
"""

# 345 images: the last batch holds one, so that a second process has none. All that is drawn at random is in use.
WORDS = (
    "model=plain", "data=digits", "data.reduce=0.3", "data.batch_size=43", "epochs=2", "threads=1", "optimizer=sgd",
    "optimizer.lr=0.1", "scheduler=onecycle", "augment=digits", "label_smoothing=0.1", "clip_grad_norm=0.1",
    "augment.mixup=0.2", "augment.cutout=5", "augment.color=0.2", "augment.shear=5", "logger=csv",
    "+augment.transforms.noise._target_=housenumbers.models.plain.Noise",
    "+metrics.second={_target_: housenumbers.models.plain.second_guess, _partial_: true}",
)  # fmt: skip
# On the CPU each process has batch norms of its own, and those of a frozen stage are used while training.
LONG = (
    *TINY, "model.width=2", "model.blocks=[1,1,1]", "augment=rotation", "scheduler=onecycle", "epochs=12",
    "averaging=ema", "progressive.freeze_after=[0.3]",
)  # fmt: skip


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, with a model without batch norm, as a user would add it."""
    home = tmp_path_factory.mktemp("checkout")
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, home / name)
    (home / "src/housenumbers/models/plain.py").write_text(PLAIN)
    (home / "conf/model/plain.yaml").write_text("_target_: housenumbers.models.plain.Plain\nname: plain\n")
    return home


@pytest.fixture(scope="module")
def undivided_and_divided(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The folders of two runs of WORDS in one process: batches as they are, and in micro-batches."""
    home = tmp_path_factory.mktemp("one")
    done = run(home, checkout, "-m", *WORDS, "micro_batches=1,4", processes=1)
    assert done.returncode == 0, done.stderr
    return run_folders(home)


@pytest.fixture(scope="module")
def in_one_process(undivided_and_divided: list[Path]) -> Path:
    return undivided_and_divided[0]


def start(home: Path, checkout: Path, *words: str, processes: int = 2, how: str = "--standalone") -> subprocess.Popen:
    torchrun = [sys.executable, "-m", "torch.distributed.run", *how.split(), f"--nproc_per_node={processes}"]
    script = str(checkout / "src" / "train.py")
    several = processes > 1 or how != "--standalone"
    command = [*(torchrun if several else [sys.executable]), script, *words]
    return subprocess.Popen(
        command, cwd=home, env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(home: Path, checkout: Path, *words: str, processes: int = 2) -> subprocess.CompletedProcess[str]:
    process = start(home, checkout, *words, processes=processes)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def history(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_close(scores: dict, others: dict) -> None:
    """The same but for noise, by which an image that is on the edge may be taken for another digit, too."""
    assert scores.keys() == others.keys()
    for key in scores.keys() - {"seconds"}:
        share = 0.02 if "loss" not in key and key not in ("lr", "epoch", "n") else 0
        assert scores[key] == pytest.approx(others[key], rel=1e-4, abs=share), key


def assert_equal_but_for_noise(first: Path, second: Path) -> None:
    weights, others = (
        torch.load(folder / "checkpoints/last.pt", weights_only=True)["model"] for folder in (first, second)
    )
    torch.testing.assert_close(weights, others, rtol=1e-4, atol=1e-5)
    for line, other in zip(history(first), history(second), strict=True):
        assert_close(line, other)


def errors(said: str) -> list[str]:
    """The lines that are ours, among those of torchrun."""
    return [line for line in said.splitlines() if line.startswith("error:")]


def wait_for_epochs(home: Path, epochs: int) -> Path:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for file in home.glob("outputs/*/*/metrics.jsonl"):
            if len(file.read_text().splitlines()) >= epochs:
                return file.parent
        time.sleep(0.02)
    raise TimeoutError(f"no {epochs} epochs in {home}")


def process_of_rank(torchrun: subprocess.Popen, rank: int) -> psutil.Process:
    children = psutil.Process(torchrun.pid).children(recursive=True)
    return next(child for child in children if child.environ().get("RANK") == str(rank))


@pytest.mark.parametrize(("size", "world_size"), [(43, 2), (1, 2), (10, 4), (3, 4), (8, 8), (7, 1)])
def test_each_row_belongs_to_one_process(size: int, world_size: int) -> None:
    shares = [rank_rows(size, rank, world_size) for rank in range(world_size)]
    assert [row for rows in shares for row in rows] == list(range(size))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert len(shares[0]) > 0


@pytest.mark.parametrize("mixup", [0, 0.5])
def test_the_parts_of_a_batch_are_those_of_the_whole(mixup: float) -> None:
    images = torch.randint(0, 256, (31, 3, 32, 32), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    data = LabeledImages(images, torch.arange(31) % 10)
    augmentation = composed("data=digits", "augment=digits", "augment.cutout=5", f"augment.mixup={mixup}").augment
    whole = list(training_batches(data, 10, augmentation, 1, 2))
    parts = [list(training_batches(data, 10, augmentation, 1, 2, rank, 3)) for rank in range(3)]
    for step, (images, labels) in enumerate(whole):
        there = [rank for rank in range(3) if len(rank_rows(len(labels), rank, 3)) > 0]
        assert torch.equal(torch.cat([parts[rank][step][1] for rank in there]), labels)
        torch.testing.assert_close(torch.cat([parts[rank][step][0] for rank in there]), images)
    assert [len(part[-1][1]) for part in parts] == [1, 1, 1]  # the last batch has one image; all take the step


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
def test_all_processes_divide_a_batch_into_equally_many_parts(world_size: int) -> None:
    for size in range(1, 40):
        rows = [max(1, len(rank_rows(size, rank, world_size))) for rank in range(world_size)]
        for wanted in (1, 2, 4, 7):
            count = micro_batch_count(size, world_size, wanted)
            parts = [len(part) for own in rows for part in torch.arange(own).tensor_split(count)]
            assert min(parts) == smallest_micro_batch(size, size, world_size, wanted) >= 1
            assert count == wanted or count == min(rows) < wanted


def test_two_processes_make_one_run_with_its_numbers(checkout: Path, in_one_process: Path, tmp_path: Path) -> None:
    done = run(tmp_path, checkout, *WORDS)
    assert done.returncode == 0, done.stderr
    folder = only_run(tmp_path)
    assert list(tmp_path.rglob(".hydra")) == [folder / ".hydra"]
    assert len(list((tmp_path / "outputs").glob("*/*"))) == 1
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    assert done.stdout.count("epoch 2/2") == 1
    assert done.stderr.count("\n") <= 4, done.stderr  # torchrun's own word on threads at most
    assert (record(folder)["status"], record(folder)["world_size"]) == ("completed", 2)
    assert_equal_but_for_noise(folder, in_one_process)
    assert len((folder / "metrics.csv").read_text().splitlines()) == 3  # the first process alone has loggers
    assert_close(record(folder)["test"], record(in_one_process)["test"])


def test_a_gradient_of_micro_batches_is_that_of_the_batch(undivided_and_divided: list[Path]) -> None:
    undivided, divided = undivided_and_divided
    assert_equal_but_for_noise(divided, undivided)
    assert record(divided)["weights_sha256"] != record(undivided)["weights_sha256"]


@pytest.mark.slow
def test_three_processes_of_micro_batches_share_the_cores(checkout: Path, in_one_process: Path, tmp_path: Path) -> None:
    done = run(tmp_path, checkout, *WORDS, "micro_batches=4", "threads=null", processes=3)
    assert done.returncode == 0, done.stderr
    assert_equal_but_for_noise(only_run(tmp_path), in_one_process)
    assert record(only_run(tmp_path))["threads"] == max(1, available_cores() // 3)


def test_a_mistake_is_one_line_and_leaves_nothing(checkout: Path, tmp_path: Path) -> None:
    done = run(tmp_path, checkout, *WORDS, "optimizer.lr=abc")
    assert done.returncode != 0
    (line,) = errors(done.stderr)
    assert "optimizer.lr" in line
    assert not list(tmp_path.rglob("outputs"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("-m", "hydra/sweeper=optuna"), "-m"),
        (("data.batch_size=1",), "data.batch_size"),
    ],
)
def test_what_cannot_be_for_several_is_one_line(
    checkout: Path, tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    done = run(tmp_path, checkout, *WORDS, *words)
    assert done.returncode != 0
    (line,) = errors(done.stderr)
    assert line.startswith(f"error: {named}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("optimizer.lr=1e30",), "not a finite number"),  # all of them
        (("data=svhn", "data.download=false"), "_32x32.mat"),  # all, but the first one sooner
    ],
)
def test_what_fails_in_all_or_in_one_is_one_line(
    checkout: Path, tmp_path: Path, words: tuple[str, ...], named: str
) -> None:
    done = run(tmp_path, checkout, *WORDS, *words)
    assert done.returncode != 0
    (line,) = errors(done.stderr)
    assert named in line
    assert 'src/train.py", line' not in done.stderr
    for folder in run_folders(tmp_path):  # none where the mistake is seen before a folder is made
        assert record(folder)["status"] == "failed"
        assert named in record(folder)["error"]
    assert len(run_folders(tmp_path)) == ("data=svhn" not in words)


@pytest.mark.slow
def test_what_fails_in_the_second_process_alone_is_said(checkout: Path, tmp_path: Path) -> None:
    fails = '        if __import__("os").environ["RANK"] == "1":\n            raise ValueError("depth=7: too deep")\n'
    model = PLAIN.replace("        super().__init__()\n", f"        super().__init__()\n{fails}")
    (checkout / "src/housenumbers/models/uneven.py").write_text(model)
    (checkout / "conf/model/uneven.yaml").write_text("_target_: housenumbers.models.uneven.Plain\nname: uneven\n")
    done = run(tmp_path, checkout, *WORDS, "model=uneven")
    assert done.returncode != 0
    assert errors(done.stderr) == ["error: model.depth=7: too deep"]


@pytest.mark.slow
def test_without_a_run_the_others_are_let_go(checkout: Path, in_one_process: Path, tmp_path: Path) -> None:
    done = run(tmp_path, checkout, f"resume={in_one_process}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nothing to resume") == 1


@pytest.fixture(scope="module")
def uninterrupted(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a longer run of two processes, with batch norm."""
    home = tmp_path_factory.mktemp("two")
    assert run(home, checkout, *LONG).returncode == 0
    return only_run(home)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_run_and_resume_goes_on(
    checkout: Path, uninterrupted: Path, tmp_path: Path, rank: int
) -> None:
    torchrun = start(tmp_path, checkout, *LONG)
    folder = wait_for_epochs(tmp_path, 2)
    process_of_rank(torchrun, rank).kill()
    _, said = torchrun.communicate(timeout=120)
    assert torchrun.returncode != 0
    assert len(errors(said)) <= 1
    assert 'src/train.py", line' not in said
    assert RunFolder(folder).status() in ("failed", "interrupted")
    done = run(tmp_path, checkout, f"resume={folder}")
    assert done.returncode == 0, done.stderr
    assert record(folder)["weights_sha256"] == record(uninterrupted)["weights_sha256"]
    assert record(folder)["conditions_mixed"] is False


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [0, 2])
def test_its_processes_end_with_torchrun(checkout: Path, tmp_path: Path, epochs: int) -> None:
    """Killed as early as its processes are there, or while they train."""
    torchrun = start(tmp_path, checkout, *LONG, "epochs=1000")
    ranks: list[psutil.Process] = []
    while len(ranks) < 2:
        with suppress(psutil.Error):  # one of its short-lived helpers has just ended
            children = psutil.Process(torchrun.pid).children(recursive=True)
            ranks = [child for child in children if "train.py" in " ".join(child.cmdline())]
        time.sleep(0.01)
    if epochs:
        folder = wait_for_epochs(tmp_path, epochs)
    torchrun.kill()
    torchrun.communicate(timeout=120)
    gone, alive = psutil.wait_procs(ranks, timeout=60)
    assert (len(gone), alive) == (2, [])
    if epochs:
        assert RunFolder(folder).status() in ("failed", "interrupted")


@pytest.mark.slow
def test_ctrl_c_ends_all_and_one_process_can_go_on(checkout: Path, tmp_path: Path) -> None:
    torchrun = start(tmp_path, checkout, *LONG)
    folder = wait_for_epochs(tmp_path, 2)
    torchrun.send_signal(signal.SIGINT)
    said, complained = torchrun.communicate(timeout=120)
    assert torchrun.returncode != 0
    assert record(folder)["status"] == "interrupted"
    assert said.count(f"resume={folder}") == 1
    assert errors(complained) == []
    done = run(tmp_path, checkout, f"resume={folder}", processes=1)
    assert done.returncode == 0, done.stderr
    assert (record(folder)["world_size"], record(folder)["conditions_mixed"]) == (1, True)
    assert len(history(folder)) == 12


@pytest.mark.slow
def test_frozen_features_through_a_curriculum(checkout: Path, tmp_path: Path) -> None:
    """Each of its stages has a network of its own, with the same head."""
    words = (
        "data=synthetic_small", "data.size=400", "data.curriculum=[0.0,0.5]", "data.batch_size=64", "model.width=4",
        "model.freeze=true", "model.blocks=[1,1]", "epochs=2", "threads=1", "optimizer=sgd",
    )  # fmt: skip
    folders = []
    for processes in (1, 2):
        home = tmp_path / str(processes)
        home.mkdir()
        done = run(home, checkout, *words, processes=processes)
        assert done.returncode == 0, done.stderr
        folders.append(only_run(home))
    assert_equal_but_for_noise(*folders)


@pytest.mark.slow
def test_two_machines(checkout: Path, in_one_process: Path, tmp_path: Path) -> None:
    """Both are this one: each has its own torchrun, and a folder of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    machines = []
    for number in range(2):
        (home := tmp_path / str(number)).mkdir()
        how = f"--nnodes=2 --node_rank={number} --master_addr=127.0.0.1 --master_port={port}"
        machines.append(start(home, checkout, *(WORDS if number == 0 else ("seed=7",)), processes=1, how=how))
    for machine in machines:
        _, complained = machine.communicate(timeout=300)
        assert machine.returncode == 0, complained
    assert_equal_but_for_noise(only_run(tmp_path), in_one_process)
    assert list((tmp_path / "1").iterdir()) == []
