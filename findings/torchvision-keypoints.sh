#!/usr/bin/env bash
# torchvision: KeyPoints are pixel numbers for flips, and distances from the corner for rotations, resizing and affine
# maps, so that a point leaves the pixel that it marks by one, or out of the image. Boxes are distances in all of them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torchvision==0.29.1 torch==2.14.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import torch
import torchvision
from torchvision.transforms.v2 import functional
from torchvision.tv_tensors import BoundingBoxes, Image, KeyPoints

print("torchvision", torchvision.__version__, "torch", torch.__version__)
HEIGHT, WIDTH = 5, 10
X, Y = 7, 1  # one white pixel
image = torch.zeros(1, HEIGHT, WIDTH)
image[0, Y, X] = 1
size = (HEIGHT, WIDTH)
point = KeyPoints([[X, Y]], canvas_size=size, dtype=torch.float32)
box = BoundingBoxes([[X, Y, X + 1, Y + 1]], format="XYXY", canvas_size=size, dtype=torch.float32)  # around the pixel
center = KeyPoints([[X + 0.5, Y + 0.5]], canvas_size=size, dtype=torch.float32)

maps = {
    "horizontal_flip": functional.horizontal_flip,
    "vertical_flip": functional.vertical_flip,
    "both flips": lambda x: functional.vertical_flip(functional.horizontal_flip(x)),
    "rotate by 180": lambda x: functional.rotate(x, 180),
    "rotate by 90, expand": lambda x: functional.rotate(x, 90, expand=True),
    "rotate by -90, expand": lambda x: functional.rotate(x, -90, expand=True),
}
off = {}
for name, function in maps.items():
    _, row, column = function(Image(image)).nonzero()[0].tolist()
    numbers = (function(point)[0] - torch.tensor([column, row])).tolist()
    distances = (function(center)[0] - torch.tensor([column + 0.5, row + 0.5])).tolist()
    off[name] = [[round(value, 3) + 0.0 for value in error] for error in (numbers, distances)]
    print(f"{name}: the pixel is at {[column, row]}; its number as a point is off by {off[name][0]}, its center by "
          f"{off[name][1]}, the box {function(box)[0].round().tolist()}")
    assert torch.allclose(function(box)[0], torch.tensor([column, row, column + 1, row + 1.0]), atol=1e-4)
# Whichever way the points are given, one kind of map is wrong by a pixel.
assert [off[name][0] for name in maps] == [[0, 0], [0, 0], [0, 0], [1, 1], [0, 1], [1, 0]]
assert [off[name][1] for name in maps] == [[-1, 0], [0, -1], [-1, -1], [0, 0], [0, 0], [0, 0]]

# Two augmentations that do not depend on their order, to a width of 80: the error grows with the scale.
wide = [HEIGHT * 8, WIDTH * 8]
first = functional.resize(functional.horizontal_flip(point), wide)[0, 0].item()
last = functional.horizontal_flip(functional.resize(point, wide))[0, 0].item()
boxes = [functional.resize(functional.horizontal_flip(box), wide)[0].tolist(),
         functional.horizontal_flip(functional.resize(box, wide))[0].tolist()]
print("flipped, then resized to a width of 80:", first, "resized, then flipped:", last, "boxes:", boxes)
assert (first, last) == (16, 23) and boxes[0] == boxes[1]

corner = functional.horizontal_flip(KeyPoints([[WIDTH, 0]], canvas_size=size))
print("the right corner of the image, flipped:", corner[0].tolist())
assert corner[0].tolist() == [-1, 0]
# Seen: the flips compute width - 1 - x, rotate and affine turn around width / 2, and resize multiplies. An augmentation
# with flips and rotations, or a flip before the resize, moves points against the image, which a small image shows most.
PYTHON
