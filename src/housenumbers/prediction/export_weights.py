"""Exports a trained model as a small checkpoint: weights in float16, and all that inference needs."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import torch
from omegaconf import OmegaConf
from torch import Tensor

from housenumbers.evaluation.score import load_part
from housenumbers.evaluation.trained_model import TrainedModel, load_trained_model
from housenumbers.metrics import tasks
from housenumbers.prediction.export import Exported, describe, file_to_write, images_for_check
from housenumbers.pretrained import pretrained_name, record_sha256
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import sha256_of, write_atomically
from housenumbers.runtime.installation import CONF, command
from housenumbers.runtime.text import plural
from housenumbers.training.checkpoint import checkpoint_bytes, weights_in

_TOLERANCE = 0.02  # of a probability: float16 rounds a weight by 2**-11 of it at most
_MAX_CHANGED_ONE_IN = 500  # labels may differ
_NOT_FOR_WEIGHTS = ("input", "output", "classes", "weights_sha256")
_FOLDERS_AND_MACHINE = ("device", "threads", "data.root", "data.cache")  # replaced by what conf/ has
_KEPT = ("config", "calibration", "stopping_rule", "data_sha256")


def export_weights(trained: TrainedModel, file: Path | None = None) -> Exported:
    """Writes `trained` to `file`, by default in its run's folder, as a checkpoint that each `run=` takes.

    Equal weights and equal settings give an equal file: it holds no time, no id of the run and no path of the machine.
    What is read from the file is compared with the model before it gets its name, on the validation part, or on
    test crops or rendered digits where that is not here. Raises UserError, and leaves no file, where a probability
    differs by more than 0.02, or more than one label and 0.2 % of them: rounding decides between two equally likely
    ones; or where a weight exceeds the range of float16. The hash of a file of `housenumbers.pretrained` is recorded.
    """
    file = file_to_write(trained, "weights", file)
    content = small_checkpoint(trained.content)
    if not all(tensor.isfinite().all() for tensor in content["model"].values()):
        raise UserError(f"{file}: not written: its weights exceed the range of float16: use format=onnx")
    crops, images = _validation_images(trained) or images_for_check(trained)
    checked: list[str] = []

    def write(temporary: BinaryIO) -> None:
        temporary.write(checkpoint_bytes(content))
        temporary.flush()
        difference, changed = _compared(trained, load_trained_model(temporary.name, ["device=cpu"]), images)
        found = f"{changed} of {plural(len(images), 'label')} differ, and probabilities by at most {difference:.1e}"
        if changed > max(1, len(images) // _MAX_CHANGED_ONE_IN) or not difference <= _TOLERANCE:  # also refuses NaN
            raise UserError(f"{file}: not written: weights in float16 are too coarse for it: {found}: use format=onnx")
        checked.append(f"checked on {crops}: {found}")

    write_atomically(file, write)
    if name := pretrained_name(file):
        record_sha256(name)
    facts = {key: value for key, value in describe(trained).items() if key not in _NOT_FOR_WEIGHTS}
    verb = "read" if trained.config.data.has_numbers else "predict"
    usage = f"{command(verb)} run={shlex.quote(str(file))} images=IMAGES"
    return Exported(file, facts | {"sha256": sha256_of(file)}, checked[0], usage)


def small_checkpoint(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a checkpoint with just what inference needs, matrices and kernels in float16.

    Vectors, such as biases and the statistics of batch norms, keep their type: they are few, and some exceed the range.
    """
    plain = {key: content[key] for key in _KEPT if content.get(key) is not None}
    plain["config"] = _without_machine(plain["config"])
    if content.get("record"):
        plain["record"] = {key: value for key, value in content["record"].items() if key != "seconds"}
    plain = json.loads(json.dumps(plain))  # pickle stores one string used twice differently from two equal ones
    return {**plain, "model": {name: _rounded(tensor) for name, tensor in weights_in(content).items()}}


def _rounded(tensor: Tensor) -> Tensor:
    is_large = tensor.ndim > 1 and tensor.is_floating_point()
    return tensor.detach().cpu().to(torch.float16 if is_large else tensor.dtype).contiguous().clone()


def _without_machine(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the defaults of what describes the machine that trained."""
    config = {**config, "data": dict(config["data"])}
    # As written there: a composed configuration has absolute paths. All data options inherit the paths of svhn.
    files = {"": CONF / "train.yaml", "data": CONF / "data" / "svhn.yaml"}
    written: dict[str, Any] = {section: OmegaConf.load(file) for section, file in files.items()}
    for key in _FOLDERS_AND_MACHINE:
        section, _, name = key.rpartition(".")
        (config[section] if section else config)[name] = written[section][name]
    for section, name in (("data", "fonts"), ("model", "pretrained")):
        if isinstance(path := config[section].get(name), str):
            config[section] = {**config[section], name: _without_folder(path)}
    return config


def _without_folder(path: str) -> str:
    """The name at the end of a path, which may begin with `run:`."""
    return ("run:" if path.startswith("run:") else "") + Path(path).name


def _validation_images(trained: TrainedModel) -> tuple[str, Tensor] | None:
    """The run's validation part and a description. None where it has none, or its data are not here."""
    config = trained.config
    offline = replace(trained, config=replace(config, data=replace(config.data, download=False)))
    try:
        images = load_part(offline, "validation").data.images
    except UserError:
        return None
    return f"all {len(images):,} images of the validation part", images


def _compared(trained: TrainedModel, other: TrainedModel, images: Tensor) -> tuple[float, int]:
    """The largest difference of a probability, and the number of images with another label or number."""
    one, two = (model.logits(images, may_be_dark=True, all_views=True) for model in (trained, other))
    difference = (one.softmax(dim=-1) - two.softmax(dim=-1)).abs().max().item()
    labels = zip(tasks.predicted_texts(one), tasks.predicted_texts(two), strict=True)
    return difference, sum(label != other_label for label, other_label in labels)
