"""Beside the package `ccexam`, which labels SVHN's digits with weights that it brings along: same crops, same machine.

`python benchmarks/peers.py --help` shows the options.
"""

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rounds import CONF, ROOT, Seconds, machine, median_and_span, ratio_of_rounds, rotated, verdict
from tqdm import tqdm

from housenumbers.config.command_line import parse
from housenumbers.config.compose import compose_config
from housenumbers.config.constraints import Count
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import load_test
from housenumbers.evaluation.significance import mcnemar, wilson
from housenumbers.evaluation.trained_model import checkpoint_path
from housenumbers.prediction.image_command import Precision
from housenumbers.runtime.errors import UserError, one_line_errors
from housenumbers.tracking.run_selection import find_run

PEER = "ccexam"
# The wheel whose code was read before this script ran it.
PINNED = "ccexam==1.0.0 --hash=sha256:9444f15096c0f8a28599705c8624cc68a9021ca625a32528f30bc8ba34bedc5d"
FASTER = 5.0  # ours / theirs, crops/s
MEMORY, FILES, COMMAND = "in memory", "image files", "one image"


@dataclass
class Arguments:
    """Labels SVHN-6k's test crops with the package ccexam 1.0.0 and with ours, and prints accuracies, crops/s, the time
    from the command to its answer about one image file, and sizes.

    python benchmarks/peers.py data.root=FOLDER
    python benchmarks/peers.py data.root=FOLDER "runs=[best,FOLDER]"   these runs, as run= of predict.py names them

    peer=outputs/peer   where ccexam is installed, in a virtual environment; it is used again if it is there
    rounds=10           how often each is measured
    threads=1           of torch
    tta=0 tta_invert=false   one view of each crop for all of ours, as with predict.py
    precision=bfloat16       for all of ours, as with predict.py"""

    runs: list[str] = field(default_factory=lambda: ["pretrained_digits"])
    peer: str = "outputs/peer"
    rounds: Count = 10
    threads: Count = 1
    precision: Precision = "float32"


class Contestant(NamedTuple):
    labeller: list[str]  # the command of a process that labels on demand
    command: list[str]  # the command that labels one image file; its path is still to come
    package: list[Path]  # the installed files, without dependencies
    weights: Path


def install(folder: Path) -> Path:
    """The Python of an environment with the peer, whose dependencies, torch among them, are those of this Python."""
    python = folder / "bin" / "python"
    site_packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    if not (site_packages / PEER).is_dir():
        _make([sys.executable, "-m", "venv", str(folder)], folder)
        (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
        (folder / "requirements.txt").write_text(PINNED)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        _make([*pip, "--requirement", str(folder / "requirements.txt")], folder)
    return python


def _make(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"peer={folder}: {lines[-1]}: give the folder of an environment with {PINNED.split()[0]}")


def contestants(arguments: Arguments, views: Sequence[str]) -> dict[str, Contestant]:
    python = install(Path(arguments.peer).absolute())
    script = str(ROOT / "benchmarks" / "labellers.py")
    theirs = Path(sysconfig.get_path("purelib", vars={"base": str(python.parents[1])})) / PEER
    command = [str(python.parent / "ccexam-infer"), "--model", "svhn", "--device", "cpu", "--input"]
    found = {PEER: Contestant([str(python), script, PEER], command, [theirs], theirs / "weights" / "svhn.pth")}
    package = [ROOT / "src", ROOT / "conf"]
    for run in arguments.runs:
        weights = checkpoint_path(find_run(run).path).absolute()
        words = [f"threads={arguments.threads}", *views]
        precise = f"precision={arguments.precision}"
        predict = [sys.executable, str(ROOT / "src" / "predict.py"), f"run={weights}", precise, *words, "images="]
        labeller = [sys.executable, script, "ours", str(weights), arguments.precision, *words]
        found[run] = Contestant(labeller, predict, package, weights)
    return found


class Labeller:
    """A process that has its model loaded, and waits."""

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env)

    def label(self, what: dict[str, Any]) -> dict[str, Any]:
        """The seconds it took, and the labels."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        if answer := self._process.stdout.readline():
            return json.loads(answer)
        raise RuntimeError(self._process.communicate()[1])

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def seconds_of(command: Sequence[str], env: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return time.perf_counter() - started


def measure(
    found: dict[str, Contestant], test: LabeledImages, rounds: int, env: dict[str, str]
) -> tuple[dict[str, torch.Tensor], dict[str, Seconds]]:
    """Each contestant's labels, and its seconds, round by round in another order, after a round that is not counted."""
    seconds: dict[str, Seconds] = {what: {name: [] for name in found} for what in (MEMORY, FILES, COMMAND)}
    labels: dict[str, torch.Tensor] = {}
    with tempfile.TemporaryDirectory() as temporary:
        array, files = str(Path(temporary, "crops.npy")), []
        np.save(array, test.images.numpy())
        for number, pixels in enumerate(test.images.permute(0, 2, 3, 1).numpy()):
            files.append(str(Path(temporary, f"{number:05}.png")))
            Image.fromarray(pixels).save(files[-1])
        labellers = {name: Labeller(each.labeller, env) for name, each in found.items()}
        try:
            for round_ in tqdm(range(rounds + 1), unit="round", leave=False, disable=None):
                for name in rotated(list(found), round_):
                    *words, last = found[name].command
                    alone = [*words, f"{last}{files[0]}"] if last.endswith("=") else [*words, last, files[0]]
                    in_memory, of_files = (
                        labellers[name].label({"images": array}),
                        labellers[name].label({"files": files}),
                    )
                    labels[name] = torch.tensor(of_files["labels"])
                    took = {MEMORY: in_memory["seconds"], FILES: of_files["seconds"], COMMAND: seconds_of(alone, env)}
                    for what, value in took.items():
                        seconds[what][name] += [value] if round_ else []
        finally:
            for labeller in labellers.values():
                labeller.end()
    return labels, seconds


def megabytes(paths: Sequence[Path]) -> float:
    """The size of the files, and of those below the folders, without what Python itself caches there."""
    files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
    return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts) / 1e6


def table(
    found: dict[str, Contestant], test: LabeledImages, labels: dict[str, torch.Tensor], seconds: dict[str, Seconds]
) -> list[str]:
    count, lines = len(test.labels), []
    right = {name: labels[name] == test.labels for name in found}
    for name, each in found.items():
        hits = int(right[name].sum())
        low, high = wilson(hits, count)
        lines += ["", name, f"  accuracy              {hits / count:.2%} ({hits} of {count}; {low:.2%}..{high:.2%})"]
        for what in (MEMORY, FILES):
            rates = [count / value for value in seconds[what][name]]
            lines.append(f"  {f'crops/s, {what}':<22}{median_and_span(rates, 0)}")
        lines.append(f"  one image, s          {median_and_span(seconds[COMMAND][name], 2)}")
        lines.append(f"  package, weights, MB  {megabytes(each.package):.2f}, {megabytes([each.weights]):.2f}")
    for name in [each for each in found if each != PEER]:
        test_of = mcnemar(right[name], right[PEER])
        more_accurate = verdict(bool(right[name].sum() > right[PEER].sum()), "more")
        lines += ["", f"{name} against {PEER}"]
        lines.append(
            f"  right alone           {test_of.only_first} : {test_of.only_second}, "
            f"McNemar's p {test_of.p:.2g}   {more_accurate}"
        )
        for what, goal in ((MEMORY, FASTER), (FILES, FASTER), (COMMAND, 1.0)):
            ratios = ratio_of_rounds(seconds[what], PEER, name)
            met = verdict(float(np.median(ratios)) >= goal, f"{goal}")
            lines.append(f"  {f'times as fast, {what}':<27}{median_and_span(ratios, 2)}   {met}")
    return lines


def main() -> None:
    with one_line_errors():
        arguments, overrides = parse(Arguments, sys.argv[1:], others=["data.root", "tta", "tta_invert"])
        roots = [word for word in overrides if word.startswith("data.")]
        test = load_test(compose_config(CONF, ["data=svhn_6k", *roots]).data)
        found = contestants(arguments, [word for word in overrides if word not in roots])
        env = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
        print(machine(arguments.threads))
        print(f"SVHN-6k, {len(test.labels)} test crops; median and range of n={arguments.rounds} rounds", flush=True)
        print(*table(found, test, *measure(found, test, arguments.rounds, env)), sep="\n")


if __name__ == "__main__":
    main()
