"""Communication between the processes of a run that torchrun starts. Does nothing in a run with one process.

Only the first process (rank 0) reads the command line and writes files. The others run `runs/ddp_worker.py`.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import eval_batches, rank_rows
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.metrics.tasks import accuracy_and_loss
from housenumbers.metrics.views import predict_logits
from housenumbers.runtime import processes
from housenumbers.runtime.device import choose_device
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.training.custom_metrics import custom_metrics
from housenumbers.training.reproducibility import set_threads

# The time to wait for a process that may be downloading or writing. A lost connection is noticed at once.
_TIMEOUT = timedelta(days=1)


_was_initialized = False


@contextmanager
def process_group() -> Iterator[None]:
    """Connects the run's processes in the block, or until `destroy_process_group`. Raises UserError if one is lost."""
    global _was_initialized
    if processes.world_size() == 1:
        yield
        return
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_TIMEOUT)
        _was_initialized = True
        yield
        destroy_process_group()
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(name in str(error) for name in ("gloo", "NCCL")):
            raise
        raise UserError(
            "another process of this run has ended, torchrun tells which: go on with resume=RUN_FOLDER"
        ) from None


def destroy_process_group() -> None:
    """Ends the connection. The first process does the remaining work alone."""
    if dist.is_initialized():
        dist.destroy_process_group()


def release_other_ranks() -> None:
    """Lets the other processes end where the first one has no run for them, as with `--help`."""
    if processes.world_size() > 1 and not _was_initialized:
        with process_group():
            broadcast_object(None)


def broadcast_object(value: Any) -> Any:
    """The first process's value, in all processes."""
    if processes.world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def broadcast_state(state: Any, device: torch.device) -> None:
    """Loads the `state_dict` of the first process's state into the states of the others."""
    if processes.world_size() == 1:
        return
    stored = io.BytesIO()
    if processes.rank() == 0:
        torch.save(state.state_dict(), stored)
    received = io.BytesIO(broadcast_object(stored.getvalue()))
    if processes.rank() > 0:
        state.load_state_dict(torch.load(received, map_location=device, weights_only=True))


def setup_device(config: TrainConfig) -> torch.device:
    """Sets up this process, and returns its device. With CUDA each process has a separate one.

    Raises UserError where the machine does not have it.
    """
    is_single = processes.world_size() == 1
    share = None if is_single else max(1, processes.available_cores() // processes.local_world_size())
    set_threads(config.threads or share)
    if is_single:
        return choose_device(config.device)
    if config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    count, needed = torch.cuda.device_count(), processes.local_world_size()
    if count < needed:
        raise UserError(
            f"device={config.device}: {needed} processes on {plural(count, 'CUDA device')}: lower --nproc_per_node, or "
            "device=cpu"
        )
    device = torch.device("cuda", processes.local_rank())
    torch.cuda.set_device(device)
    return device


def wrap_ddp(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, with gradients averaged over all processes. They start with the first one's weights and statistics.

    On CUDA, batch norm uses the statistics of the whole batch. The CPU has no such layer: it uses the process's part.
    """
    if processes.world_size() == 1:
        return network
    _broadcast_buffers(network)  # including the statistics of frozen batch norms
    if device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # its new name is unknown to torch 2.9
        return DistributedDataParallel(network, broadcast_buffers=False)


def _broadcast_buffers(network: nn.Module) -> None:
    for buffer in network.buffers():
        dist.broadcast(buffer, 0)


def no_sync(network: nn.Module, enabled: bool) -> AbstractContextManager[None]:
    """If `enabled`, a backward pass inside the block keeps its gradients for the next one instead of averaging them."""
    return network.no_sync() if enabled and isinstance(network, DistributedDataParallel) else nullcontext()


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum over all processes, bitwise equal in each."""
    if processes.world_size() == 1:
        return tensor
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor


def validate(
    network: nn.Module, data: LabeledImages, metrics: Mapping[str, Any]
) -> tuple[float, float, dict[str, float | None]]:
    """Accuracy, mean loss and, in the first process, custom `metrics` on `data`.

    Each process evaluates its rows, with the first one's batch norms.
    """
    if processes.world_size() == 1:
        logits, labels = predict_logits(network, eval_batches(data))
        return *accuracy_and_loss(logits, labels), custom_metrics(metrics, logits, labels)
    _broadcast_buffers(network)
    rows = rank_rows(len(data.labels), processes.rank(), processes.world_size())
    sums = torch.zeros(2, dtype=torch.float64)
    logits, labels = torch.empty(0), torch.empty(0)
    if rows:
        logits, labels = predict_logits(network, eval_batches(data.subset(slice(rows.start, rows.stop))))
        accuracy, loss = accuracy_and_loss(logits, labels)
        sums += torch.tensor([round(accuracy * len(rows)), loss * len(rows)], dtype=torch.float64)
    correct, loss = all_reduce_sum(sums).tolist()
    return correct / len(data.labels), loss / len(data.labels), _metrics_of_all_ranks(metrics, logits, labels)


def _metrics_of_all_ranks(metrics: Mapping[str, Any], logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """The metrics over the rows of all processes, in the first one. Empty in the others."""
    if not metrics:
        return {}
    parts: list[Any] = [None] * processes.world_size()
    dist.all_gather_object(parts, (logits, labels))
    if processes.rank() > 0:
        return {}
    parts = [part for part in parts if len(part[1])]
    return custom_metrics(metrics, torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))
