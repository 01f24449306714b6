"""Readers of whole numbers that others publish, each a function from RGB images, uint8 `[H, W, 3]`, to digits."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Read = Callable[[Sequence[NDArray[np.uint8]]], list[str]]

# Letters and marks that look like a digit, and which one: for readers that know letters, too.
_ALIKE = str.maketrans("OoDQIil|!LZzSsBGTq", "000011111122558679")


def digits_only(text: str) -> str:
    return re.sub("[^0-9]", "", text)


def letters_to_digits(text: str) -> str:
    """The text with letters as the digits that they look like, and without anything else."""
    return digits_only(text.translate(_ALIKE))


def rapidocr(threads: int) -> Read:
    """RapidOCR 3: the recognition of PP-OCRv6 (small), whose weights are in the package; enlarged three times."""
    from rapidocr import RapidOCR

    engine = RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )

    def read(image: NDArray[np.uint8]) -> str:
        found = engine(_enlarged(image, 3)[..., ::-1], use_det=False, use_cls=False, use_rec=True)
        return "".join(getattr(found, "txts", None) or ())

    return lambda images: [read(image) for image in images]


def rapidocr_1(threads: int) -> Read:
    """RapidOCR 1.4.4: the same with PP-OCRv4."""
    from rapidocr_onnxruntime import RapidOCR

    engine = RapidOCR(intra_op_num_threads=threads, inter_op_num_threads=1)

    def read(image: NDArray[np.uint8]) -> str:
        found, _ = engine(_enlarged(image, 3)[..., ::-1], use_det=False, use_cls=False, use_rec=True)
        return "".join(str(text) for text, _ in found or [])

    return lambda images: [read(image) for image in images]


def tesseract(threads: int) -> Read:
    """Tesseract 5: one word, digits only, enlarged four times, all images in one call."""
    command = ["tesseract", "images.txt", "stdout", "--psm", "8", "-c", "tessedit_char_whitelist=0123456789"]

    def read(images: Sequence[NDArray[np.uint8]]) -> list[str]:
        with tempfile.TemporaryDirectory() as home:
            names = [f"{number}.png" for number in range(len(images))]
            for name, image in zip(names, images, strict=True):
                Image.fromarray(_enlarged(image, 4)).save(Path(home, name))
            Path(home, "images.txt").write_text("".join(f"{name}\n" for name in names))
            environment = {"OMP_THREAD_LIMIT": str(threads), "PATH": str(Path(str(shutil.which("tesseract"))).parent)}
            done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=True)
        pages = done.stdout.split("\f")[: len(images)]  # a form feed ends each image's page
        if len(pages) != len(images):
            raise RuntimeError(f"tesseract read {len(pages)} of {len(images)} images: {done.stderr}")
        return [page.strip() for page in pages]

    return read


PEERS: dict[str, Callable[[int], Read]] = {
    "rapidocr": rapidocr,
    "rapidocr_1": rapidocr_1,
    "tesseract": tesseract,
}


def missing(name: str) -> str | None:
    """What to do where a peer is not installed. None where it is."""
    if name == "tesseract":
        return None if shutil.which("tesseract") else "tesseract is not on PATH: apt-get install tesseract-ocr"
    package = {"rapidocr": "rapidocr", "rapidocr_1": "rapidocr_onnxruntime"}[name]
    return None if find_spec(package) else f"{package} is not installed: pip install -e '.[ocr-peers]'"


def version(name: str) -> str:
    """The peer's name and version."""
    if name == "tesseract":
        done = subprocess.run(["tesseract", "--version"], capture_output=True, text=True, check=True)
        return (done.stdout or done.stderr).splitlines()[0]
    from importlib.metadata import version as installed

    package = {"rapidocr": "rapidocr", "rapidocr_1": "rapidocr-onnxruntime"}[name]
    return f"{package} {installed(package)}"


def _enlarged(image: NDArray[np.uint8], times: int) -> NDArray[np.uint8]:
    height, width, _ = image.shape
    return np.asarray(Image.fromarray(image).resize((width * times, height * times), Image.Resampling.BICUBIC))
