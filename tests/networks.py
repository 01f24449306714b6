"""Networks as if they had been trained, without the time that it takes, in runs of theirs, and images for them."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from support import TINY, composed
from torch import Tensor, nn

from housenumbers.config.values import config_to_dict
from housenumbers.training.checkpoint import load_checkpoint, save_checkpoint, weights_sha256


def blurred(count: int) -> Tensor:
    """Images whose neighbouring pixels are alike, each of another brightness."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, 4, 4, generator=generator) * torch.rand(count, 1, 1, 1, generator=generator)
    return (nn.functional.interpolate(coarse, (32, 32), mode="bilinear") * 255).to(torch.uint8)


def used(model: nn.Module, images: Tensor) -> nn.Module:
    """The model as after some training: with statistics of these images, and scales and shifts of all sizes."""
    if hasattr(model, "initialize_from"):
        model.initialize_from(images)
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the plain mean over all batches
            nn.init.uniform_(module.weight, 0.5, 1.5, generator)
            nn.init.normal_(module.bias, 0.0, 0.2, generator)
    model.train()
    with torch.no_grad():
        for batch in images.split(len(images) // 2):
            model(batch)
    return model.eval()


def sure(model: nn.Module, images: Tensor) -> nn.Module:
    """A `used` model whose last layer is scaled so that it takes images for this or that, and mostly firmly.

    Else all its probabilities would be about a tenth, whatever is done to the images.
    """
    model = used(model, images)
    with torch.no_grad():
        logits = model(images)
        scale = 2 / logits.std(dim=0).mean()
        model.head.weight.mul_(scale)
        if model.head.bias is not None:
            model.head.bias.sub_(logits.mean(dim=0)).mul_(scale)
    return model


def as_if_it_had_learnt(
    finished: Path, folder: Path, weights: Mapping[str, Tensor], *words: str, temperature: float = 1.5
) -> Path:
    """A copy of the finished run, with other weights of the same network, and of a configuration with `words`."""
    shutil.copytree(finished, folder)
    config = composed(*TINY, *words)
    content = load_checkpoint(folder / "checkpoints/best.pt")
    content["config"], content["model"] = config_to_dict(config), dict(weights)
    content["calibration"] = {**content["calibration"], "temperature": temperature}
    save_checkpoint(folder / "checkpoints/best.pt", content)
    record = json.loads((folder / "run.json").read_text())
    record |= {"name": config.name, "seed": config.seed, "config": content["config"]}
    record |= dict.fromkeys(("weights_sha256", "best_weights_sha256"), weights_sha256(content["model"]))
    record["calibration"] = content["calibration"]
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def weights_of(run: Path) -> dict[str, Tensor]:
    """The best weights of a run."""
    return load_checkpoint(run / "checkpoints/best.pt")["model"]


def always(label: int, run: Path) -> dict[str, Tensor]:
    """A run's weights, but for those of the last layer, which sees this label in every image."""
    weights = weights_of(run)
    weights["head.weight"] = torch.zeros_like(weights["head.weight"])
    weights["head.bias"] = 2 * torch.eye(10)[label]
    return weights
