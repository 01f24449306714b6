#!/usr/bin/env bash
# Albumentations 2.0.8: in workers of a DataLoader every epoch, and every worker, gets the same augmentations.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet albumentations==2.0.8 opencv-python-headless==5.0.0.93 numpy==2.4.6 torch==2.14.1
cd "$folder"
cat > workers.py <<'PYTHON'
import albumentations
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

PLACES = np.stack(np.meshgrid(np.arange(32), np.arange(32)), axis=-1).astype(np.uint8)
PLACES = np.concatenate([PLACES, PLACES[..., :1]], axis=-1)  # each pixel holds its column and its row


class Crops(Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 24

    def __getitem__(self, index):
        left, top, _ = self.transform(image=PLACES)["image"][0, 0].tolist()  # where the crop begins
        return torch.tensor([left, top])


def reseed(_):
    get_worker_info().dataset.transform.set_random_seed(torch.initial_seed() % 2**32)


def epochs(seed=None, **options):
    transform = albumentations.Compose([albumentations.RandomCrop(8, 8)], seed=seed)
    loader = DataLoader(Crops(transform), batch_size=4, **options)
    return [list(loader) for _ in range(3)]


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


if __name__ == "__main__":
    print("albumentations", albumentations.__version__, "torch", torch.__version__)
    for title, options, repeated, shared in (
        ("no workers", {}, False, False),
        ("one worker", {"num_workers": 1}, True, False),
        ("two workers", {"num_workers": 2}, True, True),
        ("two workers, spawned", {"num_workers": 2, "multiprocessing_context": "spawn"}, True, True),
        ("two workers, a seed", {"num_workers": 2, "seed": 1}, True, True),
        ("two workers that stay", {"num_workers": 2, "persistent_workers": True}, False, True),
        ("two workers, seeded anew", {"num_workers": 2, "worker_init_fn": reseed}, False, False),
    ):
        first, second, third = epochs(**options)
        print(f"{title}: crops of epoch 1 begin at {[tuple(crop) for crop in torch.cat(first)[:3].tolist()]} ...")
        print(f"  epochs equal: {equal(first, second)}; batch 1 equal to batch 2: {torch.equal(first[0], first[1])}")
        assert equal(first, second) == equal(first, third) == repeated
        assert torch.equal(first[0], first[1]) == torch.equal(first[2], first[3]) == shared
# Seen: every Compose has generators of its own, seeded when it is made. A DataLoader gives each epoch new workers, with
# copies of the data set, so the generators begin again; and all workers get equal copies. torch seeds the global
# generators of its workers, torch's, NumPy's and Python's, but these are not used. So the number of different
# augmentations of an image does not grow with the epochs. Version 2.0.8 is the last one under the MIT licence; its
# successor AlbumentationsX seeds in the workers (2.5.1: no two epochs and no two workers were equal).
PYTHON
"$folder/venv/bin/python" -W ignore workers.py
