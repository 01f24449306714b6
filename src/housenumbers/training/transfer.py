"""Transfer learning: pretrained weights, frozen parts of a model, and cached features of a frozen model."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from housenumbers.config.messages import as_typed
from housenumbers.config.schema import TrainConfig
from housenumbers.data.batches import eval_batches
from housenumbers.data.download import download
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.metrics.views import predict_logits
from housenumbers.pretrained import check_sha256
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.files import sha256_of
from housenumbers.runtime.text import plural
from housenumbers.tracking.run_folder import RunFolder
from housenumbers.training.build import classifier_head
from housenumbers.training.checkpoint import as_checkpoint, load_plain_data, load_weights, weights_in, weights_sha256
from housenumbers.training.checkpoint_owner import check_owner

_OWN_SIZE = "normalize.input_size"  # set by the configuration, not by the weights
_REMEDY = "choose the model, and the options of model, that it was trained with, or model.pretrained=false"
_AUXILIARY = ("network.aux",)  # heads of GoogLeNet and Inception
# Keys of a model that may differ from those that its weights were trained with: the resolution, and the head's inputs.
_MAY_DIFFER = ("name", "pretrained", "freeze", "input_size", "stem", "features")


def load_pretrained(model: nn.Module, source: bool | str, options: Mapping[str, Any] | None = None) -> str | None:
    """Loads the weights that the model starts with. Only a head for other classes may keep its initial weights.

    Returns the SHA-256 of the loaded weights, since the file may change later. None where none are loaded.

    `source` is true for the published weights, `run:DIR` for the best ones of a run, or a file: one of our checkpoints
    or a torchvision network's plain state dict. Raises UserError where they are missing or belong to another model, or
    were trained with other `options` of it, which may change what the model computes though all shapes fit.
    """
    if source is False:
        return None
    weights, trained_with = _published(model) if source is True else _from_file(str(source))
    _check_options(source, options or {}, trained_with)
    initial = model.state_dict()
    head_ids = {id(tensor) for tensor in classifier_head(model).parameters()}
    head = {name for name, tensor in model.named_parameters() if id(tensor) in head_ids}
    fitting = {name: value for name, value in weights.items() if name in initial and initial[name].shape == value.shape}
    fitting.pop(_OWN_SIZE, None)
    normalizing = {name for name in initial if name.startswith("normalize.")}  # not in published weights
    counters = {name for name in initial if name.endswith(".num_batches_tracked")}  # not in old files
    if missing := initial.keys() - fitting.keys() - head - normalizing - counters:
        raise UserError(
            f"model.pretrained={as_typed(source)}: of another model: it has no {min(missing)} of this shape: {_REMEDY}"
        )
    # Networks of torchvision leave out their auxiliary heads, which are for their first training alone.
    if unused := [name for name in weights.keys() - initial.keys() if not name.lower().startswith(_AUXILIARY)]:
        raise UserError(
            f"model.pretrained={as_typed(source)}: of a larger model: this one has no {min(unused)}: {_REMEDY}"
        )
    load_weights(model, fitting, strict=False)
    return weights_sha256(fitting)


def _check_options(source: bool | str, options: Mapping[str, Any], trained_with: Mapping[str, Any]) -> None:
    """Raises UserError where weights were trained with other options of the same model.

    Options of a custom model are not compared: some, such as dropout, may differ in a second training.
    """
    target = str(options.get("_target_"))
    if not target.startswith("housenumbers.") or trained_with.get("_target_") != target:
        return
    for key in sorted(options.keys() & trained_with.keys() - set(_MAY_DIFFER)):
        if options[key] != trained_with[key]:
            theirs = f"model.{key}={_as_word(trained_with[key])}"
            raise UserError(
                f"model.pretrained={as_typed(source)}: was trained with {theirs}, not {_as_word(options[key])}: "
                f"set {theirs}, or model.pretrained=false"
            )


def _as_word(value: Any) -> str:
    return as_typed(value).replace(" ", "")


def freeze(model: nn.Module, how_much: bool | int) -> None:
    """Freezes the parameters of all but the head (true), or of the first `how_much` stages.

    Raises UserError where the model has fewer stages, or no parameter would be trained.
    """
    if not how_much:
        return
    if how_much is True:
        model.requires_grad_(False)
        classifier_head(model).requires_grad_(True)
    else:
        _freeze_stages(model, how_much)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError(f"model.freeze={as_typed(how_much)}: leaves no parameter to train: freeze fewer stages")


def _freeze_stages(model: nn.Module, how_many: int) -> None:
    freezable: Any = getattr(model, "freezable_stages", list)
    stages: list[list[nn.Module]] = freezable()
    if how_many > len(stages):
        available = plural(len(stages), "stage")
        raise UserError(f"model.freeze={how_many}: this model has {available}: true freezes all but the head")
    for stage in stages[:how_many]:
        for module in stage:
            module.requires_grad_(False)


def train_mode(model: nn.Module) -> nn.Module:
    """The model in training mode, with fully frozen modules in eval mode to keep their batch norm statistics."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
    return model


def cache_frozen_features(
    config: TrainConfig, model: nn.Module, train: LabeledImages, validation: LabeledImages | None
) -> tuple[nn.Module, LabeledImages, LabeledImages | None]:
    """The head and features, computed once, where all other layers are frozen and nothing is augmented.

    Otherwise the model and its images, unchanged. Features, float `[N, D, 1, 1]`, are computed in eval mode: dropout
    before the head does not act on them.
    """
    head = getattr(model, "head", None)
    unchanged = model, train, validation
    # Images of other sizes, as in progressive training, have other features.
    if not (isinstance(head, nn.Linear) and config.augment.does_nothing and config.progressive.does_nothing):
        return unchanged
    trained = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    all_trained = len(trained) == len(list(model.parameters()))
    if all_trained or trained != {id(parameter) for parameter in head.parameters()}:
        return unchanged
    train_features = _features(model, head, train)
    if train_features is None:
        return unchanged
    validation_features = None if validation is None else _features(model, head, validation)
    return nn.Sequential(nn.Flatten(), head), train_features, validation_features


def _features(model: nn.Module, head: nn.Linear, data: LabeledImages) -> LabeledImages | None:
    """The inputs of the head, in place of the images.

    None where the model has layers after its head, or applies it to more than one place of an image, as a reader does.
    """
    head_inputs: list[Tensor] = []
    head_outputs: list[Tensor] = []

    def note(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        head_inputs.append(inputs[0])
        head_outputs.append(output)

    hook = head.register_forward_hook(note)
    try:
        logits, _ = predict_logits(model, eval_batches(data))
    finally:
        hook.remove()
    if head_inputs[0].ndim != 2 or not torch.equal(torch.cat(head_outputs).float().cpu(), logits):
        return None
    return LabeledImages(torch.cat(head_inputs)[:, :, None, None], data.labels)


def _from_file(source: str) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    """The weights in a file, and the options of the model that they were trained with, as far as the file has them."""
    run = source.startswith("run:")
    file = RunFolder(Path(source.removeprefix("run:"))).best if run else Path(source)
    check_sha256(file)
    content = load_plain_data(file)
    if run or "config" in content:
        as_checkpoint(content, file)
        check_owner(content, file)
        options = content["config"].get("model")
        return weights_in(content), options if isinstance(options, dict) else {}
    return _as_network_weights(content), {}


def _as_network_weights(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A plain state dict under its names in our model, which adds the normalization.

    DenseNet's published files have dots in some names, `denselayer1.norm.1`, which torchvision no longer uses.
    """
    named = {re.sub(r"(\.denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", name): state[name] for name in state}
    return {f"network.{name}": value for name, value in named.items() if isinstance(value, Tensor)}


def _published(model: nn.Module) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    published = getattr(model, "published_weights", None)
    if published is None:
        raise UserError("model.pretrained=true: nobody has published weights of this model: give a file, or run:DIR")
    location = str(published())
    if not location.startswith("https://"):
        return _from_file(location)
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(location).path).name
    if not file.exists():
        try:
            download(file, lambda temporary: torch.hub.download_url_to_file(location, str(temporary), _hash_in(file)))
        except (OSError, RuntimeError) as error:  # no network, or a wrong file
            raise UserError(
                f"model.pretrained=true: {location} cannot be downloaded ({error}): put it at {file}"
            ) from None
    if not sha256_of(file).startswith(_hash_in(file)):
        raise UserError(f"{file}: damaged: delete it, or put {location} there")
    return _as_network_weights(load_plain_data(file)), {}


def _hash_in(file: Path) -> str:
    """The beginning of the SHA-256, the last part of a published file's name."""
    return file.stem.rpartition("-")[2]
