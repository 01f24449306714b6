#!/usr/bin/env bash
# timm, pytorch-optimizer: optimizers count steps for a group, so a layer that thaws late takes steps of a wrong size.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet timm==1.0.31 pytorch_optimizer==4.1.0 torch==2.14.1 torchvision==0.29.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import torch
from pytorch_optimizer import load_optimizer
from timm.optim import create_optimizer_v2

torch.set_num_threads(1)
print(*(f"{name} {version(name)}" for name in ("timm", "pytorch-optimizer", "torch")))
FROZEN, THAWED = 300, 5
gradients = torch.randn(FROZEN + THAWED, 6, 4, generator=torch.Generator().manual_seed(3))


def moved(make, frozen, own_group=False):
    """How far `layer` moves in the first steps after it was frozen, that is without a gradient, for `frozen` steps."""
    start = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    head, layer = (torch.nn.Parameter(weight.clone()) for weight in start)
    optimizer = make([head] if own_group else [head, layer])
    distances = []
    for step in range(FROZEN - frozen, FROZEN + THAWED):
        if step == FROZEN and own_group:
            optimizer.add_param_group({"params": [layer]})
        head.grad = gradients[step].clone()
        layer.grad = gradients[step].clone() if step >= FROZEN else None
        optimizer.step()
        if step >= FROZEN:
            distances.append((layer.detach() - start[1]).norm())
    return torch.stack(distances)


def torch_optim(name):
    return lambda weights: getattr(torch.optim, name)(weights, lr=0.01)


def timm_optim(name):
    return lambda weights: create_optimizer_v2(weights, opt=name, lr=0.01, weight_decay=0.0)


def pytorch_optimizer(name):
    return lambda weights: load_optimizer(name)(weights, lr=0.01)


names = {
    torch_optim: ("Adam", "RAdam", "NAdam", "Adamax"),
    timm_optim: ("adamw", "laprop", "adabelief", "lamb", "adan"),
    pytorch_optimizer: ("adabelief", "adamp", "radam", "laprop", "lamb", "stableadamw"),
}
seen = {}
for make, some in names.items():
    for name in some:
        fresh, late = moved(make(name), 0), moved(make(name), FROZEN)
        assert torch.allclose(moved(make(name), FROZEN, own_group=True), fresh, rtol=1e-3)  # that is the remedy
        first, fifth = (late[0] / fresh[0]).item(), (late[-1] / fresh[-1]).item()
        seen[make, name] = fifth
        print(f"{make.__name__} {name}: after one step at {first:.3g} of the distance, after five at {fifth:.3g}")
# Seen: without a gradient a weight has no state yet, but its group's number of steps grows. At the thaw the averages
# are new, and their corrections for a start at zero are those of step 301. Adam's form then takes 0.1 / sqrt(0.001 /
# (1 - 0.999**301)) = 1.6 of the learning rate at once, and more later; others take a tenth. RAdam's warm-up, which has
# no step in the first five, does not happen (hence inf). torch's optimizers count for each weight, some of timm's too.
# In a group of its own, added at the thaw, the layer moves as with a fresh optimizer.
for name in names[torch_optim]:
    assert abs(seen[torch_optim, name] - 1) < 0.001
for name in ("adamw", "laprop", "adabelief"):
    assert abs(seen[timm_optim, name] - 1) < 0.001
assert 2.1 < seen[timm_optim, "lamb"] < 2.4 and 0.4 < seen[timm_optim, "adan"] < 0.5
assert all(2.1 < seen[pytorch_optimizer, name] < 2.4 for name in ("adabelief", "adamp"))
assert all(0.15 < seen[pytorch_optimizer, name] < 0.3 for name in ("lamb", "stableadamw"))
assert seen[pytorch_optimizer, "laprop"] > 10 and seen[pytorch_optimizer, "radam"] > 1000
PYTHON
