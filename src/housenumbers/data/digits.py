"""scikit-learn's bundled handwritten digits (1,797 of 8x8 pixels) in the form of street-view crops. No download."""

import torch
from torch.nn import functional as F

from housenumbers.config.sections import DataConfig
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.runtime.errors import UserError

_TEST_SIZE = 360  # a fifth; always the same images


def read_digits(_: DataConfig, part: str) -> tuple[LabeledImages, str]:
    """The `part`, train or test, as 32x32 RGB, and its SHA-256. Raises UserError for `extra`."""
    if part == "extra":
        raise UserError("data.use_extra: data=digits has no extra part: leave data.use_extra=false")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    train, test = train_test_split(
        torch.arange(len(bunch.target)), test_size=_TEST_SIZE, random_state=0, stratify=bunch.target
    )
    grey = torch.from_numpy(bunch.images).float().unsqueeze(1) * (255 / 16)
    enlarged = F.interpolate(grey, size=(32, 32), mode="bilinear").round().to(torch.uint8)
    everything = LabeledImages(enlarged.expand(-1, 3, -1, -1), torch.from_numpy(bunch.target).long())
    data = everything.subset((train if part == "train" else test).sort().values)
    return data, data.sha256()
