"""The contestants of against_others.py: one network, trained as each library's users train it.

All have the same network (with fastnet's whitening), weights of one seed, images, batch size, precision, label
smoothing and number of epochs. Loader, transforms, optimizer and schedule are each one's own.
"""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from rounds import Images
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR
from torch.utils.data import DataLoader
from torchvision import transforms

from housenumbers.config.schema import TrainConfig
from housenumbers.config.values import option_dict
from housenumbers.data.batches import eval_batches, steps_per_epoch
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.metrics.tasks import accuracy_and_loss
from housenumbers.metrics.views import predict_logits
from housenumbers.models.fold_batch_norm import fold_batch_norms
from housenumbers.runtime.memory import disable_malloc_trimming
from housenumbers.training.build import build_model
from housenumbers.training.loop import TrainingState, fit, initialize_from_data
from housenumbers.training.reproducibility import seed_everything, uses_bfloat16

CPU = torch.device("cpu")
HALF = (0.5, 0.5, 0.5)  # mean and standard deviation, as in our Normalize


@dataclass(frozen=True)
class Task:
    config: TrainConfig
    learning_rate: float | None  # of the others: ours is in the configuration
    workers: int  # of the others' loaders
    border: int = 0  # pixels around the others' images, as the nearest ones are: without, what is moved in is black

    @property
    def bfloat16(self) -> bool:
        return uses_bfloat16(self.config.autocast, CPU)


class Clock(Protocol):
    def begin(self) -> None: ...

    def end(self) -> None: ...


# Trains the task's epochs, each between `begin` and `end` of the clock, and gives the model.
Contestant = Callable[[Task, LabeledImages, Clock], nn.Module]


def accuracy_of(model: nn.Module, test: LabeledImages, task: Task) -> float:
    ready, config = fold_batch_norms(model.to(memory_format=torch.channels_last)), task.config
    logits, labels = predict_logits(ready, eval_batches(test), config.tta, config.tta_invert)
    return accuracy_and_loss(logits, labels)[0]


def ours(task: Task, train: LabeledImages, clock: Clock) -> nn.Module:
    """The project's own loop."""
    disable_malloc_trimming()
    seed_everything(task.config.seed)
    steps = steps_per_epoch(train, task.config.data.batch_size)
    state = TrainingState.initial(task.config, steps, CPU)
    epochs = fit(task.config, state, [train], None, lambda _: None)
    for _ in range(task.config.epochs):
        clock.begin()
        next(epochs)
        clock.end()
    return state.model


def lightning(task: Task, train: LabeledImages, clock: Clock) -> nn.Module:
    """A LightningModule with AdamW and a one-cycle schedule; the Trainer's logger, bar and checkpoints are off."""
    from lightning import pytorch

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    model, rest = without_normalizing(task, train)

    class Digits(pytorch.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
            images, labels = batch
            loss = F.cross_entropy(self.model(images), labels, label_smoothing=task.config.label_smoothing)
            self.log("train_loss", loss)
            return loss

        def configure_optimizers(self) -> Any:
            lr = task.learning_rate
            optimizer = torch.optim.AdamW(self.parameters(), lr, weight_decay=0.05)
            schedule = OneCycleLR(optimizer, lr, total_steps=int(self.trainer.estimated_stepping_batches))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    class EachEpoch(pytorch.Callback):
        def on_train_epoch_start(self, *_: Any) -> None:
            clock.begin()

        def on_train_epoch_end(self, *_: Any) -> None:
            clock.end()

    trainer = pytorch.Trainer(
        accelerator="cpu", devices=1, max_epochs=task.config.epochs, callbacks=[EachEpoch()],
        precision="bf16-mixed" if task.bfloat16 else "32-true",
        logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(Digits(), loader_of(task, train))
    return rest(model)


def torchvision(task: Task, train: LabeledImages, clock: Clock) -> nn.Module:
    """As references/classification/train.py: SGD, linear warm-up and cosine; loss and accuracies after each batch."""
    model, rest = without_normalizing(task, train)
    loader = loader_of(task, train)
    model.train()
    criterion = nn.CrossEntropyLoss(label_smoothing=task.config.label_smoothing)
    optimizer = torch.optim.SGD(model.parameters(), task.learning_rate, momentum=0.9, weight_decay=1e-4)
    warming, epochs = 1, task.config.epochs
    schedule = SequentialLR(
        optimizer,
        [LinearLR(optimizer, 0.1, total_iters=warming), CosineAnnealingLR(optimizer, max(1, epochs - warming))],
        [warming],
    )
    for _ in range(epochs):
        clock.begin()
        meters = dict.fromkeys(("loss", "acc1", "acc5"), 0.0)
        for images, labels in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=task.bfloat16):
                logits = model(images)
                loss = criterion(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            correct = logits.topk(5).indices == labels[:, None]
            meters["acc1"] += correct[:, 0].sum().item()
            meters["acc5"] += correct.sum().item()
            meters["loss"] += loss.item()
        schedule.step()
        clock.end()
    return rest(model)


def timm(task: Task, train: LabeledImages, clock: Clock) -> nn.Module:
    """timm's loader, which collates uint8 and normalises whole batches, its transforms, optimizer, schedule, loss."""
    from timm.data import create_loader
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    model, rest = without_normalizing(task, train)
    loader = create_loader(
        Images(train, None), input_size=(3, 32, 32), batch_size=task.config.data.batch_size, is_training=True,
        scale=(0.7, 1.0), ratio=(0.9, 1.1), hflip=0.0, auto_augment="rand-m5-mstd0.5-inc1", mean=HALF, std=HALF,
        num_workers=task.workers, persistent_workers=task.workers > 0, device=CPU,
    )  # fmt: skip
    model.train()
    criterion = LabelSmoothingCrossEntropy(task.config.label_smoothing)
    optimizer = create_optimizer_v2(model, "adamw", task.learning_rate, weight_decay=0.05)
    schedule, _ = create_scheduler_v2(
        optimizer, "cosine", num_epochs=task.config.epochs, warmup_epochs=1, step_on_epochs=False,
        updates_per_epoch=len(loader),
    )  # fmt: skip
    updates = 0
    for _ in range(task.config.epochs):
        clock.begin()
        for images, labels in loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=task.bfloat16):
                loss = criterion(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            schedule.step_update(updates)
            if updates % 50 == 0:  # how often its script looks
                loss.item()
        clock.end()
    return rest(model)


CONTESTANTS: dict[str, Contestant] = {
    "ours": ours,
    "lightning": lightning,
    "torchvision": torchvision,
    "timm": timm,
}


# ---- What the others share


def without_normalizing(task: Task, train: LabeledImages) -> tuple[nn.Module, Callable[[nn.Module], nn.Module]]:
    """The network for images that are normalised already, and what gives it its first module back.

    It is in the default memory format, since nobody of them has another one unless told.
    """
    seed_everything(task.config.seed)
    model = build_model(task.config.model, CPU)
    initialize_from_data(model, train)
    model.to(memory_format=torch.contiguous_format)
    normalize = model.normalize
    model.normalize = nn.Identity()

    def restored(trained: nn.Module) -> nn.Module:
        trained.normalize = normalize
        return trained

    return model, restored


def loader_of(task: Task, train: LabeledImages) -> DataLoader[tuple[Tensor, Tensor]]:
    """Images one at a time through torchvision's transforms, which make the changes that our augmentation makes."""
    augment, pixels = option_dict(task.config.augment), train.images.shape[-1]
    pipeline = transforms.Compose(
        [
            transforms.RandomAffine(
                augment["degrees"],
                (augment["translate"] / (pixels + 2 * task.border),) * 2,
                (1 - augment["scale"], 1 + augment["scale"]),
                interpolation=transforms.InterpolationMode.BILINEAR,
            ),
            *([transforms.CenterCrop(pixels)] if task.border else []),
            transforms.RandomInvert(augment["invert"]),
            transforms.ToTensor(),
            transforms.Normalize(HALF, HALF),
        ]
    )
    return DataLoader(
        Images(train, pipeline, task.border), task.config.data.batch_size, shuffle=True, num_workers=task.workers,
        persistent_workers=task.workers > 0,
    )  # fmt: skip
