"""The three records of a run's epochs, and its results: what must be equal to those of an undisturbed run."""

import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.backend.event_processing.data_ingester import DEFAULT_SIZE_GUIDANCE, DEFAULT_TENSOR_SIZE_GUIDANCE
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.data.server_ingester import SubprocessServerDataIngester, get_server_binary
from tensorboard.util.grpc_util import ChannelCredsType

from housenumbers.training.checkpoint import weights_sha256

Series = dict[str, list[tuple[int, Any]]]  # of each tag the steps and values, in TensorBoard's order

# What TensorBoard shows of an epoch, and what it is called in the history.
_OF_AN_EPOCH = {
    "Loss/train": "train_loss", "Loss/validation": "val_loss", "Accuracy/validation": "val_accuracy",
    "LearningRate": "lr",
}  # fmt: skip
_TIMES = ("seconds", "per_second")  # tags with such a word differ from run to run
_LOADING = 5.0  # seconds that the fast loader may take
LOADERS = ("fast", "slow")  # TensorBoard's --load_fast=true (the default) and false


def results(folder: Path) -> dict[str, Any]:
    """What equal runs have in common, all of it."""
    record = json.loads((folder / "run.json").read_text())
    best, last = (torch.load(folder / "checkpoints" / f"{name}.pt", weights_only=True) for name in ("best", "last"))
    return {
        "status": record["status"],
        "final weights": record["weights_sha256"],
        "weights in last.pt": weights_sha256(last["model"]),
        "weights in best.pt": weights_sha256(best["model"]),
        "data": record["data_sha256"],
        "best epoch": record["best"],
        "test": record["test"],
        "calibration": record["calibration"],
        "calibration in best.pt": best.get("calibration"),
        "figures": sorted(file.name for file in (folder / "figures").iterdir()),
    }


def histories(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The history in `metrics.jsonl` and in the last checkpoint, without the seconds."""
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    last = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    found = {"metrics.jsonl": [json.loads(line) for line in lines], "checkpoint": last["history"]}
    return {
        name: [{key: value for key, value in epoch.items() if key != "seconds"} for epoch in history]
        for name, history in found.items()
    }


def faults_in(folder: Path, reference: Path) -> list[tuple[str, str]]:
    """What differs between a run that was killed and one that was not: names of counts, and details."""
    faults = []
    here, there = results(folder), results(reference)
    for name in there:
        if here[name] != there[name]:
            faults.append(("other weights" if "weights" in name else "other results", f"{name}: {here[name]}"))
    wanted = histories(reference)["checkpoint"]
    for name, history in histories(folder).items():
        if history != wanted:
            epochs = [epoch["epoch"] for epoch in history]
            faults.append((f"epochs in {name}", f"{epochs} instead of 1 to {len(wanted)}, or other values"))
    for loader in LOADERS:
        if said := _differences(folder, reference, wanted, loader):
            faults.append((f"epochs in TensorBoard ({loader})", said))
    if left := [str(file.relative_to(folder)) for file in folder.rglob("*.tmp")]:
        faults.append(("files left", ", ".join(left)))
    return faults


def _differences(folder: Path, reference: Path, history: list[dict[str, Any]], loader: str) -> str:
    """The first tag that TensorBoard shows otherwise than the reference's, or than the `history`; empty if none."""
    there = _series_of_reference(reference, loader)
    until = time.monotonic() + _LOADING
    while said := _difference(series(folder, loader), there, history):
        if loader == "slow" or time.monotonic() > until:  # the fast one loads while it answers
            return said
    return ""


def _difference(here: Series, there: Series, history: list[dict[str, Any]]) -> str:
    for tag, name in _OF_AN_EPOCH.items():
        values = [(epoch["epoch"], float(np.float32(epoch[name]))) for epoch in history if epoch[name] is not None]
        if here.get(tag, []) != values:
            return f"{tag}: {here.get(tag)}"
    for tag in sorted(here.keys() | there.keys()):
        steps, wanted = ([step for step, _ in found.get(tag, [])] for found in (here, there))
        if steps != wanted:
            return f"{tag}: steps {steps} instead of {wanted}"
        if here[tag] != there[tag] and not any(word in tag for word in _TIMES):
            return f"{tag}: {here[tag]} instead of {there[tag]}"
    return ""


@cache  # it does not change
def _series_of_reference(folder: Path, loader: str) -> Series:
    found = series(folder, loader)
    until = time.monotonic() + _LOADING
    while loader == "fast" and found != (found := series(folder, loader)) and time.monotonic() < until:
        pass
    return found


def series(folder: Path, loader: str) -> Series:
    """The numbers and texts that TensorBoard shows of a folder, read by its own `loader`."""
    if loader == "slow":
        multiplexer = EventMultiplexer(None, DEFAULT_SIZE_GUIDANCE, DEFAULT_TENSOR_SIZE_GUIDANCE)
        multiplexer.AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        return _shown(MultiplexerDataProvider(multiplexer, str(folder)), folder.parent)
    server = SubprocessServerDataIngester(
        get_server_binary(), str(folder), reload_interval=0, channel_creds_type=ChannelCredsType.LOCAL
    )
    server.start()
    try:
        return _shown(server.data_provider, folder.parent)
    finally:
        server._stdin_handle.close()  # which ends it


def _shown(provider: Any, home: Path) -> Series:
    """Numbers and texts, these without the name of the working folder."""
    of = {"ctx": RequestContext(), "experiment_id": "", "downsample": 1000}
    scalars = provider.read_scalars(plugin_name="scalars", **of).values()
    texts = provider.read_tensors(plugin_name="text", **of).values()
    found = {tag: [(each.step, each.value) for each in points] for run in scalars for tag, points in run.items()}
    for run in texts:
        for tag, points in run.items():
            found[tag] = [(each.step, str(each.numpy.tolist()).replace(str(home), "")) for each in points]
    return found
