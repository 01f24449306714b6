"""Transfer learning: which weights a model begins with, which of its parts keep them, and features of a frozen one."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import eval_batches
from housenumbers.data.download import download
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.metrics import predict_logits
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.build import classifier_head
from housenumbers.training.checkpoint import as_checkpoint, load_plain_data, load_weights, weights_in, weights_sha256
from housenumbers.training.checkpoint_owner import check_owner

_OWN_SIZE = "normalize.input_size"  # what the configuration says, whatever the weights were trained with


def load_pretrained(model: nn.Module, source: bool | str) -> str | None:
    """Loads weights that the model begins with; a head for other classes, and nothing else, may stay as it is.

    Returns the SHA-256 of what was loaded: another file of that name is another run. None where nothing was.

    `source` is true for the published ones, `run:DIR` for the best of a run, or a file: a checkpoint of ours, or the
    plain state dict of a torchvision network. Raises UserError where there are none, or they are of another model.
    """
    if source is False:
        return None
    weights = _published(model) if source is True else _from_file(str(source))
    own = model.state_dict()
    of_the_head = {id(tensor) for tensor in classifier_head(model).parameters()}
    head = {name for name, tensor in model.named_parameters() if id(tensor) in of_the_head}
    fitting = {name: value for name, value in weights.items() if name in own and own[name].shape == value.shape}
    fitting.pop(_OWN_SIZE, None)
    normalizing = {name for name in own if name.startswith("normalize.")}  # published weights do not have it
    counters = {name for name in own if name.endswith(".num_batches_tracked")}  # old files do not have them
    if other := own.keys() - fitting.keys() - head - normalizing - counters:
        raise UserError(f"model.pretrained={source}: of another model: it has no {min(other)} of this shape")
    load_weights(model, fitting, strict=False)
    return weights_sha256(fitting)


def freeze(model: nn.Module, how_much: bool | int) -> None:
    """Keeps the parameters of all but the head (true), or of the first so many stages, from being trained.

    Raises UserError where the model has not so many.
    """
    if not how_much:
        return
    if how_much is True:
        model.requires_grad_(False)
        classifier_head(model).requires_grad_(True)
        return
    freezable: Any = getattr(model, "freezable_stages", list)
    stages: list[list[nn.Module]] = freezable()
    if how_much > len(stages):
        has = plural(len(stages), "stage")
        raise UserError(f"model.freeze={how_much}: this model has {has}: true freezes all but the head")
    for stage in stages[:how_much]:
        for module in stage:
            module.requires_grad_(False)


def train_mode(model: nn.Module) -> nn.Module:
    """The model in training mode, but what is frozen whole in eval mode, so that its batch norms' statistics stay."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    return model


def cache_frozen_features(
    config: TrainConfig, model: nn.Module, train: LabeledImages, validation: LabeledImages | None
) -> tuple[nn.Module, LabeledImages, LabeledImages | None]:
    """What the loop has to run: the head on features, computed once, where all else is frozen and nothing is augmented.

    Otherwise the model and its images as they are. Features, float `[N, D, 1, 1]`, are those of eval mode: dropout
    in front of the head does not act on them.
    """
    head = getattr(model, "head", None)
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    all_trained = len(trained) == len(list(model.parameters()))
    if not isinstance(head, nn.Linear) or all_trained or not config.augment.does_nothing:
        return model, train, validation
    if not config.progressive.does_nothing:  # images of other sizes have other features
        return model, train, validation
    if trained != {id(parameter) for parameter in head.parameters()}:
        return model, train, validation
    of_train = _features(model, head, train)
    if of_train is None:
        return model, train, validation
    of_validation = None if validation is None else _features(model, head, validation)
    return nn.Sequential(nn.Flatten(), head), of_train, of_validation


def _features(model: nn.Module, head: nn.Linear, data: LabeledImages) -> LabeledImages | None:
    """What arrives at the head, in the place of the images. None where the model goes on behind its head."""
    arrived: list[Tensor] = []
    given: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        arrived.append(inputs[0])
        given.append(output)

    hook = head.register_forward_hook(note)
    try:
        logits, _ = predict_logits(model, eval_batches(data))
    finally:
        hook.remove()
    if not torch.equal(torch.cat(given).float().cpu(), logits):
        return None
    return LabeledImages(torch.cat(arrived)[:, :, None, None], data.labels)


def _from_file(source: str) -> Mapping[str, Tensor]:
    run = source.startswith("run:")
    file = RunFolder(Path(source.removeprefix("run:"))).best if run else Path(source)
    content = load_plain_data(file)
    if run or "config" in content:
        as_checkpoint(content, file)
        check_owner(content, file)
        return weights_in(content)
    return _of_the_network(content)


def _of_the_network(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A plain state dict under the names that it has behind our normalizing.

    DenseNet's published files have dots in some names, `denselayer1.norm.1`, which torchvision has given up since.
    """
    named = {re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name): state[name] for name in state}
    return {f"network.{name}": value for name, value in named.items() if isinstance(value, Tensor)}


def _published(model: nn.Module) -> Mapping[str, Tensor]:
    published = getattr(model, "published_weights", None)
    if published is None:
        raise UserError("model.pretrained=true: nobody has published weights of this model: give a file, or run:DIR")
    where = str(published())
    if not where.startswith("https://"):
        return _of_the_network(load_plain_data(Path(where)))
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(where).path).name
    if not file.exists():
        try:
            download(file, lambda temporary: torch.hub.download_url_to_file(where, str(temporary), _hash_in(file)))
        except (OSError, RuntimeError) as error:  # no network, or another file than it should be
            raise UserError(
                f"model.pretrained=true: {where} cannot be downloaded ({error}): put it at {file}"
            ) from None
    with file.open("rb") as opened:
        if not hashlib.file_digest(opened, "sha256").hexdigest().startswith(_hash_in(file)):
            raise UserError(f"{file}: damaged: delete it, or put {where} there")
    return _of_the_network(load_plain_data(file))


def _hash_in(file: Path) -> str:
    """The beginning of its SHA-256, which the names of published files end with."""
    return file.stem.rpartition("-")[2]
