"""One run in several processes, started by torchrun: what they tell each other. In a run of one it all does nothing.

The first process (rank 0) alone reads the command line, and writes; `runs/ddp_worker.py` is what the others do.
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
from housenumbers.metrics import accuracy_and_loss, predict_logits
from housenumbers.runtime import processes
from housenumbers.runtime.device import choose_device
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.training.custom_metrics import custom_metrics

# How long one waits for another, which may be downloading or writing. A dead one is noticed at once, by its connection.
_PATIENCE = timedelta(days=1)

_THREADS = torch.get_num_threads()  # as many as torch takes by itself: a run before may have set others

_has_joined = False


@contextmanager
def process_group() -> Iterator[None]:
    """Meanwhile, or until `leave`, the run's processes are connected. Raises UserError where another one is lost."""
    global _has_joined
    if processes.world_size() == 1:
        yield
        return
    cuda = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
        _has_joined = True
        yield
        destroy_process_group()
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and not any(name in str(error) for name in ("gloo", "NCCL")):
            raise
        raise UserError(
            "another process of this run has ended, torchrun tells which: go on with resume=RUN_FOLDER"
        ) from None


def destroy_process_group() -> None:
    """Ends the connection: what is left to do, the first process does alone."""
    if dist.is_initialized():
        dist.destroy_process_group()


def release_workers() -> None:
    """Lets the other processes end where the first one has no run for them after all, but `--help`, say."""
    if processes.world_size() > 1 and not _has_joined:
        with process_group():
            broadcast_object(None)


def broadcast_object(value: Any) -> Any:
    """What the first process has, in all of them."""
    if processes.world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values)
    return values[0]


def broadcast_state(state: Any, device: torch.device) -> None:
    """Loads what the `state_dict` of the first process's state holds into that of the others."""
    if processes.world_size() == 1:
        return
    stored = io.BytesIO()
    if processes.rank() == 0:
        torch.save(state.state_dict(), stored)
    received = io.BytesIO(broadcast_object(stored.getvalue()))
    if processes.rank() > 0:
        state.load_state_dict(torch.load(received, map_location=device, weights_only=True))


def setup_device(config: TrainConfig) -> torch.device:
    """Sets up this process, and returns the device that it computes on: with CUDA each has one of its own.

    Raises UserError where the machine does not have it.
    """
    alone = processes.world_size() == 1
    by_default = _THREADS if alone else max(1, processes.available_cores() // processes.local_world_size())
    torch.set_num_threads(config.threads or by_default)
    if alone:
        return choose_device(config.device)
    if config.device == "cpu" or (config.device == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    count, wanted = torch.cuda.device_count(), processes.local_world_size()
    if count < wanted:
        raise UserError(
            f"device={config.device}: {wanted} processes on {plural(count, 'CUDA device')}: lower --nproc_per_node, or "
            "device=cpu"
        )
    device = torch.device("cuda", processes.local_rank())
    torch.cuda.set_device(device)
    return device


def wrap_ddp(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, its gradients averaged over all processes, which begin with the first one's weights and statistics.

    On CUDA batch norm has the statistics of the whole batch; the CPU has no such layer: there, of the process's part.
    """
    if processes.world_size() == 1:
        return network
    _broadcast_buffers(network)  # the statistics of frozen batch norms count, too
    if device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # its new name is unknown to torch 2.9
        return DistributedDataParallel(network, broadcast_buffers=False)


def _broadcast_buffers(network: nn.Module) -> None:
    for buffer in network.buffers():
        dist.broadcast(buffer, 0)


def no_sync(network: nn.Module, here: bool) -> AbstractContextManager[None]:
    """Where `here`, gradients of a backward pass begun meanwhile are not averaged yet but kept for the next one's."""
    return network.no_sync() if here and isinstance(network, DistributedDataParallel) else nullcontext()


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """The sum over all processes, equal to the bit in each."""
    if processes.world_size() == 1:
        return tensor
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor


def validate(
    network: nn.Module, data: LabeledImages, metrics: Mapping[str, Any]
) -> tuple[float, float, dict[str, float | None]]:
    """Accuracy, mean loss and, in the first process, `metrics` of one's own on `data`.

    Each process looks at rows of its own, with the first one's batch norms.
    """
    if processes.world_size() == 1:
        logits, labels = predict_logits(network, eval_batches(data))
        return *accuracy_and_loss(logits, labels), custom_metrics(metrics, logits, labels)
    _broadcast_buffers(network)
    rows = rank_rows(len(data.labels), processes.rank(), processes.world_size())
    sums = torch.zeros(2, dtype=torch.float64)
    logits, labels = torch.empty(0, 10), torch.empty(0, dtype=torch.long)
    if rows:
        own = LabeledImages(data.images[rows.start : rows.stop], data.labels[rows.start : rows.stop])
        logits, labels = predict_logits(network, eval_batches(own))
        accuracy, loss = accuracy_and_loss(logits, labels)
        sums += torch.tensor([round(accuracy * len(rows)), loss * len(rows)], dtype=torch.float64)
    correct, loss = all_reduce_sum(sums).tolist()
    return correct / len(data.labels), loss / len(data.labels), _of_all_rows(metrics, logits, labels)


def _of_all_rows(metrics: Mapping[str, Any], logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """The metrics of what all processes have, in the first one; nothing in the others."""
    if not metrics:
        return {}
    parts: list[Any] = [None] * processes.world_size()
    dist.all_gather_object(parts, (logits, labels))
    if processes.rank() > 0:
        return {}
    return custom_metrics(metrics, torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))
