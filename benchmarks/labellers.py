"""A contestant of peers.py: loads its model, then labels what each line of standard input names, and prints a line.

`PYTHON labellers.py ours RUN PRECISION KEY=VALUE ...` or `PYTHON labellers.py ccexam`; neither imports the other one.
A line is JSON, {"files": [PATH, ...]} or {"images": FILE.npy} with uint8 `[N, 3, 32, 32]`. So is the answer: the
seconds from the paths, or the images in memory, to the labels.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Labeller = Callable[[Any], list[int]]
_BATCH = 250


def ours(run: str, precision: str, *overrides: str) -> dict[str, Labeller]:
    """As `src/predict.py run=RUN precision=PRECISION` labels."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
    from housenumbers.evaluation.trained_model import load_trained_model
    from housenumbers.prediction.predict_files import predict_files

    trained = load_trained_model(run, overrides, precision == "bfloat16")

    def label_files(files: list[str]) -> list[int]:
        return [
            each.label
            for each in predict_files(trained, map(Path, files), lambda file, why: sys.exit(f"{file}: {why}"))
        ]

    return {"files": label_files, "images": lambda images: trained.logits(images).argmax(dim=1).tolist()}


def ccexam() -> dict[str, Labeller]:
    """As its `run_inference` labels files; and batches of images, which its user has to normalise."""
    from ccexam.constants import DATASET_STATS
    from ccexam.inference import InferenceFactory

    inference = InferenceFactory.create("svhn", device="cpu")
    mean, std = (torch.tensor(DATASET_STATS["svhn"][key]).view(3, 1, 1) for key in ("mean", "std"))

    def label_images(images: torch.Tensor) -> list[int]:
        batches = ((batch / 255 - mean) / std for batch in images.split(_BATCH))
        return [label for batch in batches for label in inference.predict_batch_tensor(batch)]

    return {"files": inference.predict_batch, "images": label_images}


def main() -> None:
    name, *arguments = sys.argv[1:]
    labellers = {"ours": ours, "ccexam": ccexam}[name](*arguments)
    for line in sys.stdin:
        ((kind, value),) = json.loads(line).items()
        given = torch.from_numpy(np.load(value)) if kind == "images" else value
        started = time.perf_counter()
        labels = labellers[kind](given)
        print(json.dumps({"seconds": time.perf_counter() - started, "labels": labels}), flush=True)


if __name__ == "__main__":
    main()
