#!/usr/bin/env bash
# torchvision: RandomErasing(value="random") covers a uint8 image with nearly black and nearly white pixels, not noise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
import torchvision
from torchvision import transforms as v1
from torchvision.transforms import v2

print("torch", torch.__version__, "torchvision", torchvision.__version__)
grey = torch.full((3, 64, 64), 128, dtype=torch.uint8)
for module in (v1, v2):
    torch.manual_seed(0)
    erased = module.RandomErasing(p=1.0, scale=(0.25, 0.3), value="random")(grey)
    levels, counts = erased[erased != 128].unique(return_counts=True)
    black = counts[levels < 5].sum() / counts.sum()
    print(f"{module.__name__}: levels {levels.tolist()}, {black:.0%} of the erased pixels below 5")
    # Seen: the random values are those of a normal distribution with deviation 1, for images that were normalized to
    # that. Cast to uint8, a value such as 1.7 becomes 1; a negative one wraps around on x86 (-1.7 to 255), and other
    # processors may make it 0. No error, no warning.
    assert set(levels.tolist()) <= {*range(5), *range(252, 256)}
    assert black > 0.75  # of a normal distribution 84 % lie above -1: they are 0 to 4

# A number is taken in the levels of the image, so it is meant right for uint8 images.
assert (v2.RandomErasing(p=1.0, value=90)(grey) == 90).any()
# Images from 0 to 1 leave their range: the other order of ToDtype(scale=True) and RandomErasing does not help.
erased = v2.RandomErasing(p=1.0, value="random")(grey / 255)
print(f"float images from 0 to 1: {erased.min():.2f} to {erased.max():.2f} afterwards")
assert erased.min() < -1.5 and erased.max() > 1.5
PYTHON
