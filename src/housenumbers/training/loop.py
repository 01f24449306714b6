"""The training loop, top to bottom."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import option_dict
from housenumbers.data.batches import steps_per_epoch, training_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.metrics.tasks import mean_loss
from housenumbers.runtime import processes
from housenumbers.runtime.errors import DivergedError, UserError
from housenumbers.training import distributed
from housenumbers.training.averaging import WeightAverage, averaged_weights
from housenumbers.training.build import build_model, build_optimizer, build_scheduler
from housenumbers.training.checkpoint import load_weights
from housenumbers.training.gradient_accumulation import micro_batches
from housenumbers.training.history import Record, should_stop
from housenumbers.training.progressive import check_progressive, freeze_stages, progressive_resize, value_for_epoch
from housenumbers.training.reproducibility import uses_bfloat16
from housenumbers.training.schedules import scaled_learning_rates, step_scheduler, warmup_factor
from housenumbers.training.transfer import cache_frozen_features, freeze, load_pretrained, train_mode

_LOSS_INTERVAL = 20  # steps between reads of the loss: each read makes a GPU wait


@dataclass
class TrainingState:
    """Everything that changes during a run. What `state_dict` holds is enough to continue bit for bit."""

    model: nn.Module
    optimizer: Optimizer
    scheduler: LRScheduler
    interval: str  # the scheduler steps after each "epoch", "batch" or "validation"
    average: WeightAverage | None
    history: list[Record]
    seconds: float  # from the first batch to the end of the last epoch in the history
    pretrained_sha256: str | None  # of the pretrained weights, if there are any

    @classmethod
    def initial(
        cls, config: TrainConfig, steps_per_epoch: int, device: torch.device, pretrained: bool = True
    ) -> "TrainingState":
        """The state before the first step. `pretrained` false skips the pretrained weights of `config.model`."""
        model = build_model(config.model, device)
        options = option_dict(config.model)
        source = options.get("pretrained", False) if pretrained else False
        pretrained_sha256 = load_pretrained(model, source, options)
        freeze(model, options.get("freeze", False))
        check_progressive(config, model)
        optimizer = build_optimizer(config.optimizer, model, device)
        scheduler, interval = build_scheduler(config.scheduler, optimizer, config.epochs, steps_per_epoch)
        if interval == "validation" and config.data.val_fraction == 0:
            raise UserError("scheduler: monitors val_loss: it needs a validation part: set data.val_fraction above 0")
        averaging = config.averaging
        average = None if averaging.method == "none" else WeightAverage(model, averaging, config.epochs)
        return cls(model, optimizer, scheduler, interval, average, [], 0.0, pretrained_sha256)

    def weights(self) -> dict[str, Tensor]:
        """The weights that are scored and saved: the model's, or their average."""
        return self.model.state_dict() | ({} if self.average is None else self.average.tensors)

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "history": self.history,
            "seconds": self.seconds,
            "pretrained_sha256": self.pretrained_sha256,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_weights(self.model, state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.history = state["history"]
        self.seconds = state["seconds"]
        self.pretrained_sha256 = state.get("pretrained_sha256")


def fit(
    config: TrainConfig,
    state: TrainingState,
    stages: Sequence[LabeledImages],
    validation: LabeledImages | None,
    on_step: Callable[[float | None], None],
) -> Iterator[Record]:
    """Continues from `state` to the last epoch, appends each epoch's record to the history, and yields it.

    Each of the `stages` is the training part for an equal share of the epochs, in turn. A model that computes initial
    weights from training images does so before the first step, unless it is pretrained.
    Calls `on_step` after every step, every few steps with the epoch's mean loss so far.
    Raises DivergedError where a loss is not finite.
    """
    seconds_before, started = state.seconds, time.perf_counter()
    if not state.history and not option_dict(config.model).get("pretrained"):
        initialize_from_data(state.model, stages[0])
    stage = None
    while len(state.history) < config.epochs and not should_stop(state.history, config.early_stopping):
        epoch = len(state.history) + 1
        epoch_started = time.perf_counter()
        if stage is not (epoch_stage := value_for_epoch(stages, epoch, config.epochs)):
            stage = epoch_stage
            network, train, validating = cache_frozen_features(config, state.model, stage, validation)
        steps = steps_per_epoch(train, config.data.batch_size)
        lr = float(state.optimizer.param_groups[0]["lr"]) * warmup_factor(config.scheduler, (epoch - 1) * steps, steps)
        freeze_stages(config, state.model, epoch)
        # Anew in each epoch: DistributedDataParallel waits for gradients of all parameters trainable at its creation.
        trained = distributed.wrap_ddp(network, train.images.device)
        with progressive_resize(config, state.model, epoch):
            train_loss = train_epoch(config, state, trained, train, epoch, on_step)
        val_accuracy, val_loss = None, None
        custom: dict[str, float | None] = {}
        with averaged_weights(config, state.average, network, train, epoch):
            if validating is not None:
                val_accuracy, val_loss, custom = distributed.validate(network, validating, config.metrics)
                check_finite(val_loss, f"validation loss at the end of epoch {epoch}")
        if state.interval == "validation":
            plateau: Any = state.scheduler
            step_scheduler(plateau, val_loss)
        now = time.perf_counter()
        state.seconds = seconds_before + now - started
        state.history.append(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "lr": lr,
                "seconds": now - epoch_started,
                **{f"val_{name}": value for name, value in custom.items()},
            }
        )
        yield state.history[-1]


def initialize_from_data(model: nn.Module, train: LabeledImages) -> None:
    """Lets a model that has a method `initialize_from` compute weights from the training images."""
    initialize = getattr(model, "initialize_from", None)
    if initialize is not None:
        initialize(train.images)


def train_epoch(
    config: TrainConfig,
    state: TrainingState,
    network: nn.Module,
    train: LabeledImages,
    epoch: int,
    on_step: Callable[[float | None], None],
) -> float:
    """One pass over the training part. Returns the mean loss over its images.

    The `network` is the state's model, or its trained part, on features instead of images.
    """
    model, optimizer = train_mode(network), state.optimizer
    loss_sum = torch.zeros((), device=train.images.device)
    steps = steps_per_epoch(train, config.data.batch_size)
    batches = training_batches(
        train, config.data.batch_size, config.augment, config.seed, epoch, processes.rank(), processes.world_size()
    )
    for step, (images, labels) in enumerate(batches):
        seen = min((step + 1) * config.data.batch_size, len(train.labels))  # by all processes
        batch_size = seen - step * config.data.batch_size
        optimizer.zero_grad()
        for part in micro_batches(config, model, images, labels, batch_size, epoch, step):  # one, by default
            loss = batch_loss(config, model, part.images, part.labels)
            (loss * part.gradient_scale).backward()
            loss_sum += loss.detach() * part.size
        if config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip_grad_norm)
        with scaled_learning_rates(optimizer, warmup_factor(config.scheduler, (epoch - 1) * steps + step, steps)):
            optimizer.step()
        if state.interval == "batch":
            step_scheduler(state.scheduler)
        if state.average is not None:
            state.average.update(epochs_done=epoch - 1 + (step + 1) / steps)
        on_step(_mean_loss(loss_sum, seen, epoch) if step % _LOSS_INTERVAL == 0 else None)
    if state.interval == "epoch":
        step_scheduler(state.scheduler)
    return _mean_loss(loss_sum, len(train.labels), epoch)


def _mean_loss(loss_sum: Tensor, seen: int, epoch: int) -> float:
    """The mean over the images that all processes have seen. Raises DivergedError where it is not finite."""
    mean_loss = distributed.all_reduce_sum(loss_sum).item() / seen
    check_finite(mean_loss, f"training loss in epoch {epoch}")
    return mean_loss


def batch_loss(config: TrainConfig, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The mean loss of a batch. Runs the model in bfloat16 if the configuration and the device allow it."""
    bfloat16 = uses_bfloat16(config.autocast, images.device)
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
        logits = model(images.contiguous(memory_format=torch.channels_last))
    return mean_loss(logits.float(), labels, config.label_smoothing)


def check_finite(loss: float, what: str) -> None:
    """Raises DivergedError that names `what` where a loss is not a finite number."""
    if not math.isfinite(loss):
        raise DivergedError(f"{what}: {loss}, not a finite number: lower optimizer.lr, or set clip_grad_norm=1")
