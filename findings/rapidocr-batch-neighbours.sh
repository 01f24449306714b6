#!/usr/bin/env bash
# RapidOCR: what it reads in an image depends on the widest image of the same batch. The wheel holds the weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rapidocr==3.10.0 onnxruntime==1.32.0 numpy==2.4.6 pillow==13.0.0
cd "$folder"
cat > batch.py <<'PYTHON'
from importlib.metadata import version

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rapidocr import RapidOCR
from rapidocr.ch_ppocr_rec.typings import TextRecInput

FONT = ImageFont.load_default(14)


def line(text, blur, seed):
    left, top, right, bottom = FONT.getbbox(text)
    image = Image.new("RGB", (right - left + 6, bottom - top + 6), (120, 120, 120))
    ImageDraw.Draw(image).text((3 - left, 3 - top), text, fill=(180, 180, 180), font=FONT)
    noise = np.random.default_rng(seed).normal(0, 6, (image.height, image.width, 3))
    return (np.asarray(image.filter(ImageFilter.GaussianBlur(blur))) + noise).clip(0, 255).astype(np.uint8)


def recognizer(**options):
    engine = RapidOCR(params={"Global.log_level": "critical", **options})
    engine(line("1", 0.3, 0), use_det=False, use_cls=False, use_rec=True)  # it makes text_rec
    return lambda *images: engine.text_rec(TextRecInput(img=list(images))).txts[0]


numbers = [str(number) for number in np.random.default_rng(0).integers(1, 10_000, 100)]
images = [line(number, 1.2, seed) for seed, number in enumerate(numbers)]
wide = line("12 NORTH MAIN STREET APARTMENTS OFFICE ENTRANCE", 0.3, 0)
read = recognizer()
alone = [read(image) for image in images]
beside_itself = [read(image, image) for image in images]
beside_wide = [read(image, wide) for image in images]
one_by_one = recognizer(**{"Rec.rec_batch_num": 1})
batches_of_one = [one_by_one(image, wide) for image in images]


def right(texts):
    return sum(text == number for text, number in zip(texts, numbers, strict=True))


changed = sum(a != b for a, b in zip(alone, beside_wide, strict=True))
print("rapidocr", version("rapidocr"), "onnxruntime", version("onnxruntime"), "numbers right of 100:")
print(f"alone {right(alone)}; beside a copy {right(beside_itself)}; beside a long line {right(beside_wide)}: "
      f"{changed} texts are others; beside it with rec_batch_num=1 {right(batches_of_one)}")
# Seen: 67, 67, 26 with 70 other texts, 67. The images of a batch are padded to the ratio of the widest one, and the
# padding changes what the network reads.
assert beside_itself == alone == batches_of_one
assert changed > 30
assert right(alone) - right(beside_wide) > 20
PYTHON
"$folder/venv/bin/python" batch.py
