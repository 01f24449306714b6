#!/usr/bin/env bash
# torch: ChainedScheduler of a warm-up and LambdaLR, CosineAnnealingWarmRestarts or CyclicLR loses the warm-up without a
# warning, and in the other order the second epoch has three times the learning rate that was asked for.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" -W error - <<'PYTHON'
import math

import torch
from torch.optim import lr_scheduler

print("torch", torch.__version__)


def warmup(optimizer):
    return lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=4)


def rates(*makes):
    """The learning rates of eight epochs, for a base learning rate of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ChainedScheduler([make(optimizer) for make in makes])
    seen = []
    for _ in range(8):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def cosine(epoch):
    return (1 + math.cos(math.pi * epoch / 8)) / 2


decays = {  # each of them documented as a factor or a curve below the base learning rate
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 8),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.9),
    "LambdaLR, the same cosine": lambda o: lr_scheduler.LambdaLR(o, cosine),
    "LambdaLR, the same exponential": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 0.9**epoch),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 8),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.1, 1.0, 4),
}


def close(left, right):
    return all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(left, right, strict=True))


print("warm-up alone:", *(f"{rate:.3f}" for rate in rates(warmup)))
for name, decay in decays.items():
    alone = rates(decay)
    product = [a * b for a, b in zip(rates(warmup), alone, strict=True)]
    first, last = rates(warmup, decay), rates(decay, warmup)
    print(name)
    for label, seen in ("product", product), ("warm-up, decay", first), ("decay, warm-up", last):
        print(f"  {label:15}", *(f"{rate:.3f}" for rate in seen))
    if list(decays).index(name) < 3:
        assert close(first, product) and close(last, product)
    else:  # the warm-up is lost (CyclicLR begins with one epoch at the full rate)
        assert close(first[1:], alone[1:]) and first[0] == 1
        assert close(last[1:2], [3.25 * alone[1]]) and max(last) > 1.29
# Seen: a cosine or exponential decay by its own class is multiplied with the warm-up, in any order. The same curve from
# LambdaLR starts at the full rate instead of a tenth; with the warm-up last, the factors 0.1, 0.325, 0.55, 0.775 and 1
# become 0.1, 3.25, 1.69, 1.41 and 1.29. LinearLR and most others multiply the last rate by the ratio of two factors;
# these three compute theirs from the base rate and replace the last one. ChainedScheduler asks for "chainable"
# schedulers, but only the docstring of OneCycleLR says that it is none.
PYTHON
