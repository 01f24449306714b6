"""The embedded data set keeps the contract of street-view crops."""

import pytest
import torch
from support import data_config as config

from housenumbers.data.load import load_splits, load_test
from housenumbers.runtime.errors import UserError


def test_digits_look_like_crops_and_parts_do_not_overlap(tmp_path) -> None:
    digits = config(tmp_path, name="digits", split="random")
    splits, test = load_splits(digits), load_test(digits)
    assert splits.validation is not None
    sizes = [len(part.labels) for part in (splits.train, splits.validation, test)]
    assert sizes == [1149, 288, 360]
    assert splits.train.images.shape[1:] == (3, 32, 32)
    assert splits.train.images.dtype == torch.uint8
    assert splits.train.images.max() == 255
    assert test.labels.bincount().min() >= 34
    with pytest.raises(UserError, match=r"data\.use_extra"):
        load_splits(config(tmp_path, name="digits", use_extra="true"))
