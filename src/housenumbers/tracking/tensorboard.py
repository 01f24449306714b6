"""What TensorBoard gets. The four per-epoch tags are the original study's, so that old and new runs overlay."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from housenumbers.config import dotted


def log_configuration(writer: SummaryWriter, config: dict[str, Any]) -> None:
    writer.add_text("config", f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(config))}```")


def log_sample_batch(writer: SummaryWriter, images: Tensor, epoch: int) -> None:
    """Pictures as the model gets them, `[N, 3, H, W]` on 0..255: the first 64 of a training batch."""
    writer.add_images("Samples/training", (images[:64].float().cpu() / 255).clamp(0, 1), epoch)


def log_epoch(writer: SummaryWriter, record: Mapping[str, Any], images_per_second: float) -> None:
    tags = {
        "Loss/train": record["train_loss"],
        "Loss/validation": record["val_loss"],
        "Accuracy/validation": record["val_accuracy"],
        "LearningRate": record["lr"],
        "Speed/images_per_second": images_per_second,
    }
    for tag, value in tags.items():
        if value is not None:
            writer.add_scalar(tag, value, record["epoch"])
    writer.flush()


def log_scores(writer: SummaryWriter, split: str, scores: Mapping[str, Any], epoch: int) -> None:
    """Accuracy, loss and per-class accuracy of the best weights on `split`, at the epoch they come from."""
    writer.add_scalar(f"Final/{split}_accuracy", scores["accuracy"], epoch)
    writer.add_scalar(f"Final/{split}_loss", scores["loss"], epoch)
    for label, accuracy in enumerate(scores["per_class_accuracy"]):
        if accuracy is not None:
            writer.add_scalar(f"Final/{split}_accuracy_of_{label}", accuracy, epoch)


def log_hyperparameters(writer: SummaryWriter, config: dict[str, Any], metrics: Mapping[str, float]) -> None:
    """Fills the HParams tab, where runs are compared."""
    hyperparameters = {
        key: value if isinstance(value, (bool, int, float, str)) else str(value)
        for key, value in dotted(config).items()
        if key not in ("data.root", "data.cache", "name")
    }
    scalars = {f"hparam/{name}": value for name, value in metrics.items()}
    # Not writer.add_hparams: that opens a second event file.
    for summary in hparams(hyperparameters, scalars):
        writer._get_file_writer().add_summary(summary)
    for tag, value in scalars.items():
        writer.add_scalar(tag, value)
