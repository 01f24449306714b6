#!/usr/bin/env bash
# timm: ModelEmaV2 and V3 average a shared weight once for each name that it has, so a head that five digits share has
# the decay to the fifth power; torch's AveragedModel does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet timm==1.0.31 torch==2.14.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import copy
from collections import Counter

import timm
import torch
from timm.utils import ModelEmaV2, ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

print("timm", timm.__version__, "torch", torch.__version__)
DECAY = 0.999


class Reader(nn.Module):
    """One classifier for each of five digits of a number, the same for all of them."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(8, 8)
        self.heads = nn.ModuleList([nn.Linear(8, 11)] * 5)


def progress(make, update, model):
    """How far one update goes from the old weights (0) to the new ones (1), for each parameter."""
    model = copy.deepcopy(model)
    for p in model.parameters():
        nn.init.zeros_(p)
    average = make(model)
    update(average, model)  # torch copies the weights at the first update
    for p in model.parameters():
        nn.init.ones_(p)
    update(average, model)
    return {name: p.mean().item() for name, p in average.module.named_parameters()}


def timms(cls, **options):
    return lambda model: cls(model, decay=DECAY, **options), lambda average, model: average.update(model)


kinds = {
    "timm ModelEmaV2": timms(ModelEmaV2),
    "timm ModelEmaV3": timms(ModelEmaV3),
    "timm ModelEmaV3(foreach=False)": timms(ModelEmaV3, foreach=False),
    "timm ModelEmaV3(exclude_buffers=True)": timms(ModelEmaV3, exclude_buffers=True),
    "torch AveragedModel": (
        lambda model: AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY)),
        lambda average, model: average.update_parameters(model),
    ),
}
for name, (make, update) in kinds.items():
    seen = progress(make, update, Reader())
    print(f"{name}: body {seen['body.weight']:.6f}, shared head {seen['heads.0.weight']:.6f}")
    assert abs(seen["body.weight"] - 0.001) < 1e-6
    times = 5 if name in list(kinds)[:3] else 1
    assert abs(seen["heads.0.weight"] - (1 - DECAY**times)) < 1e-6

# timm's own CoaT shares its position encodings among blocks
torch.manual_seed(0)
seen = progress(*kinds["timm ModelEmaV3"], timm.create_model("coat_tiny"))
times = Counter(round(value / 0.001) for value in seen.values())
print("coat_tiny, parameters by the number of times that one update averages them:", dict(times))
assert times == {1: 270, 3: 38, 9: 18}
# Seen: one update goes 0.1 % of the way for the body and 0.5 % for the shared head; in timm's own coat_tiny 38
# parameters are averaged three times and 18 nine times. The state_dict holds a shared weight under each of its names;
# exclude_buffers=True goes through parameters(), which does not repeat them.
PYTHON
