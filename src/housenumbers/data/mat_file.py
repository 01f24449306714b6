"""MATLAB files in the format of SVHN's cropped digits, written by any program. Errors name other file formats."""

from pathlib import Path

import numpy as np
import torch

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.mat_contents import checked_labels, checked_pixels, read_variables
from housenumbers.data.mat_format import check_mat_format


def read_mat(path: Path) -> LabeledImages:
    """Decodes a file in the official format: `X` uint8 `[32, 32, 3, N]`, `y` `[N, 1]` in 1..10, where 10 is 0.

    Accepts whole numbers of other types, such as double from R and Julia, and `y` in one row.
    Raises UserError where the file is damaged or holds other data.
    """
    check_mat_format(path)
    content = read_variables(path, "X", "y")
    pixels = checked_pixels(path, content["X"])
    labels = checked_labels(path, content["y"], pixels.shape[3])
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)))
    return LabeledImages(images, torch.from_numpy(labels % 10))
