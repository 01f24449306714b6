"""The photo that every official crop of SVHN was cut from, and its box there, from a table in the package.

The table holds the content of SVHN's own `digitStruct.mat` for the training and the test part (Netzer et al. 2011,
http://ufldl.stanford.edu/housenumbers/). `benchmarks/photo_table.py` makes it. The photos of extra crops are not known.
"""

import hashlib
import io
import lzma
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from housenumbers.config.sections import DataConfig
from housenumbers.data.svhn import SVHN_6K_CUTS
from housenumbers.runtime.errors import UserError

TABLE = Path(__file__).with_name("photos.xz")
_SHA256 = "d7a9e2aaae31da049338e83b034c2588e1d04650c0ce1078b885b3f70dc0cb6e"  # of the decompressed table

Official = Literal["train", "test"]


class Boxes(NamedTuple):
    """The photo and the box of each crop in the order of the crops, int64 `[N]`.

    A crop is the square of side max(width, height) about its box, resized to 32x32.
    """

    photo: Tensor  # a number from 1
    left: Tensor  # pixels of the photo, as are the following; a box may begin outside of it, at -1
    top: Tensor
    width: Tensor
    height: Tensor
    label: Tensor  # 0 to 9

    def subset(self, indices: Tensor | slice) -> "Boxes":
        return Boxes(*(column[indices] for column in self))


def official_boxes(part: Official) -> Boxes:
    """The boxes of all crops of the official training (73,257) or test part (26,032), in the order of its file.

    Photos are numbered from 1 in each part, as SVHN names their files. Raises UserError where the table is damaged.
    """
    return Boxes(*(column.clone() for column in _table()[part]))


def boxes_of(config: DataConfig, part: str) -> Boxes | None:
    """The boxes of the crops that `data.load` reads as `part` (train, extra or test). None where they are not known.

    Photos of the official test part are numbered on from the last of the training part, so that numbers are different
    where parts are joined. Raises UserError where the table is damaged.
    """
    if config.name == "svhn_6k":
        official, cut = SVHN_6K_CUTS[part]
        return _uniquely_numbered(official).subset(cut)
    if config.name == "svhn" and config.verify and part in ("train", "test"):
        return _uniquely_numbered(part)
    return None


def digits_of_photos() -> Tensor:
    """The number of digits of each photo of the training and the test part, int64, by its number in `boxes_of`."""
    return torch.cat([_uniquely_numbered(part).photo for part in ("train", "test")]).bincount()


def _uniquely_numbered(part: str) -> Boxes:
    train, boxes = _table()["train"], _table()[part]
    return boxes._replace(photo=boxes.photo + (train.photo[-1] if part == "test" else 0))


@cache
def _table() -> dict[str, Boxes]:
    try:
        content = lzma.decompress(TABLE.read_bytes())
    except (OSError, lzma.LZMAError, EOFError):
        content = b""
    if hashlib.sha256(content).hexdigest() != _SHA256:
        raise UserError(f"{TABLE}: damaged or missing: install the package, or check it out, again")
    file = io.BytesIO(content)
    parts = {}
    for part in ("train", "test"):
        columns = np.load(file, allow_pickle=False).astype(np.int64)
        columns[0] = columns[0].cumsum()  # a photo's number is stored as the difference from the one before
        parts[part] = Boxes(*torch.from_numpy(columns))
    return parts
