"""Loads the splits of a data configuration into memory."""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch

from housenumbers.config.sections import DataConfig
from housenumbers.data.class_folders import has_validation, log_unused_files
from housenumbers.data.digits import read_digits
from housenumbers.data.folder import read_folder
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.photo_split import photo_split
from housenumbers.data.photos import boxes_of
from housenumbers.data.splits import block_split, leakage_warning, missing_classes, random_split, stratified_subset
from housenumbers.data.svhn import read_svhn, read_svhn_6k
from housenumbers.data.svhn_files import training_parts
from housenumbers.data.svhn_numbers import read_svhn_numbers
from housenumbers.data.svhn_photos import read_svhn_photos
from housenumbers.data.synthetic import read_synthetic, read_synthetic_numbers
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import first_few

log = logging.getLogger(__name__)

# A source returns a part (train, extra or test) and its SHA-256. The keys are the values of `data.name`.
Reader = Callable[[DataConfig, str], tuple[LabeledImages, str]]
SOURCES: dict[str, Reader] = {
    "svhn": read_svhn,
    "svhn_6k": read_svhn_6k,
    "synthetic": read_synthetic,
    "synthetic_numbers": read_synthetic_numbers,
    "svhn_numbers": read_svhn_numbers,
    "svhn_6k_numbers": read_svhn_numbers,
    "svhn_photo_numbers": read_svhn_photos,
    "digits": read_digits,
    "folder": read_folder,
}


class Splits(NamedTuple):
    stages: tuple[LabeledImages, ...]  # the training part; with a curriculum, one for each difficulty
    validation: LabeledImages | None  # None where data.val_fraction is 0
    sha256: str  # of all parts
    indices: tuple[torch.Tensor, torch.Tensor]  # of the training and validation crops in the file(s)
    own_validation: bool  # whether the data include a validation part, so that none was split off

    @property
    def train(self) -> LabeledImages:
        """The training part of the last stage."""
        return self.stages[-1]

    def to(self, device: torch.device) -> "Splits":
        validation = None if self.validation is None else self.validation.to(device)
        return self._replace(stages=tuple(stage.to(device) for stage in self.stages), validation=validation)


def load_splits(config: DataConfig) -> Splits:
    """The training and validation parts. Never reads the test part.

    Splits the training file first, unless the data include a validation part. Then adds extra crops and rendered images
    to the training part. Then reduces both parts.
    Raises UserError where files are missing or damaged, or too small for the configuration.
    """
    parts = training_parts(config)
    own_validation = config.val_fraction > 0 and config.name == "folder" and has_validation(config)
    read_parts = [_read(config, part) for part in parts]
    if config.rendered:
        read_parts.append(_read(_rendered_config(config), "train"))
    main = read_parts[0][0]
    trainable = sum(len(data.labels) for data, _ in read_parts)
    if own_validation:
        read_parts.append(_read(config, "validation"))
    if config.name == "folder":
        log_unused_files(config)
    read = [data for data, _ in read_parts]
    pool = main if len(read) == 1 else LabeledImages(*map(torch.cat, zip(*read, strict=True)))

    train = torch.arange(len(main.labels))
    validation = None
    if own_validation:
        validation = torch.arange(trainable, len(pool.labels))
    elif config.val_fraction > 0:
        train, validation = _split(config, main, parts[0])
    if validation is not None:
        setting = "" if own_validation else f"data.val_fraction={config.val_fraction}, "
        validation = stratified_subset(validation, pool.labels, config.reduce, config.split_seed, setting)
    joined = torch.cat([train, torch.arange(len(main.labels), trainable)])
    train = stratified_subset(joined, pool.labels, config.reduce, config.split_seed)

    hashes = [sha256 for _, sha256 in read_parts]
    stages = []
    for difficulty in config.curriculum:  # the same crops, so the indices are valid for all
        stage = (
            read_parts[0] if difficulty == config.difficulty else _read(replace(config, difficulty=difficulty), "train")
        )
        stages.append(stage[0])
        hashes.append(stage[1])

    indices = train, torch.empty(0, dtype=torch.long) if validation is None else validation
    digest = hashlib.sha256("".join(hashes).encode())
    for part_indices in indices:
        digest.update(part_indices.numpy().data)
        digest.update(b"|")
    if stages:
        train_parts, validation_part = [stage.subset(train) for stage in stages], pool.subset(indices[1])
    else:
        *train_parts, validation_part = pool.split(*indices)
    return Splits(
        tuple(train_parts), None if validation is None else validation_part, digest.hexdigest(), indices, own_validation
    )


def split_method(config: DataConfig) -> str:
    """How the training file is split: as `data.split` says, if it can be.

    Without known photos it is split by blocks. Whole numbers are split at random instead of by photo: each is a photo.
    """
    if config.split != "photos":
        return config.split
    if config.has_numbers:
        return "random"
    return "blocks" if boxes_of(config, training_parts(config)[0]) is None else "photos"


def split_photos(config: DataConfig, splits: Splits) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The photos of the training crops, without extra crops, and of the validation crops. None where not known."""
    boxes = boxes_of(config, training_parts(config)[0])
    if boxes is None or splits.own_validation:
        return None
    train, validation = splits.indices
    return boxes.photo[train[train < len(boxes.photo)]], boxes.photo[validation]


def scored_photos(config: DataConfig, splits: Splits | None = None) -> torch.Tensor | None:
    """The photos of the test crops or, with `splits`, of the validation crops. None where not known."""
    if splits is not None:
        photos = split_photos(config, splits)
        return photos and photos[1]
    boxes = boxes_of(config, "test")
    return boxes and boxes.photo


def load_test(config: DataConfig) -> LabeledImages:
    """The whole test part. Raises UserError where its file is missing or damaged."""
    return _read(config, "test")[0]


def test_part_sha256(config: DataConfig) -> str:
    """The SHA-256 of the test part, for the record. Raises UserError where its file is missing or damaged."""
    return _read(config, "test")[1]


def _read(config: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The data of the source. Raises UserError where they are not as `LabeledImages` documents."""
    if config.name not in SOURCES:
        raise UserError(f"data.name={config.name}: must be one of {', '.join(SOURCES)}")
    data, sha256 = SOURCES[config.name](config, part)
    try:
        data.check()
    except ValueError as error:
        raise UserError(f"data.name={config.name}: what it reads as {part}: {error}") from None
    return data, sha256


def _rendered_config(config: DataConfig) -> DataConfig:
    """The configuration of the rendered images that join these data."""
    name = "synthetic_numbers" if config.has_numbers else "synthetic"
    return replace(config, name=name, size=config.rendered, fonts=config.fonts or "matplotlib")


def _check_classes(labels: torch.Tensor, train: torch.Tensor, validation: torch.Tensor) -> None:
    """Raises UserError where no crop of a class is left to train on, and warns where none validates."""
    if labels.ndim > 1:  # whole numbers
        return
    remedy = "is the file sorted by class? data.split=random divides each class"
    message = f"data.split=blocks: no crop of {{}} is left to {{}}: {remedy}"
    if missing := missing_classes(labels, train):
        raise UserError(message.format(first_few([*map(str, missing)]), "train on"))
    if missing := missing_classes(labels, validation):
        log.warning("%s", message.format(first_few([*map(str, missing)]), "validate"))


def _split(config: DataConfig, data: LabeledImages, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    method = split_method(config)
    if method == "photos" and (boxes := boxes_of(config, part)) is not None:
        return photo_split(data.labels, boxes.photo, config.val_fraction, config.split_seed)
    if method == "blocks" and config.split == "photos":
        log.info("data.split=photos: the photos of these images are not known: they are split as by data.split=blocks")
    if method == "blocks":
        train, validation = block_split(len(data.labels), config.val_fraction, config.split_seed)
        _check_classes(data.labels, train, validation)
        return train, validation
    if leak := leakage_warning(config):
        log.warning(leak)
    return random_split(data.labels, config.val_fraction, config.split_seed)  # a number is a photo
