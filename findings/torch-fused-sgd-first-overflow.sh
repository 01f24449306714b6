#!/usr/bin/env bash
# torch: if GradScaler skips the first step of a fused SGD, its momentum begins with uninitialized memory.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import torch
from torch import nn

generator = torch.Generator().manual_seed(0)
images, targets = torch.randn(64, 20, generator=generator), torch.randn(64, 10, generator=generator)


def train(way, init_scale=2.0**16, name="SGD", steps=12, **options):
    """The state after the first step, the losses, and the steps that were skipped, with GradScaler's default scale."""
    torch.manual_seed(0)
    model = nn.Linear(20, 10)
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=1e-3, **options, **{way: True})
    scaler = torch.amp.GradScaler("cpu", init_scale=init_scale)
    losses, skipped, after_first = [], [], None
    for step in range(steps):
        optimizer.zero_grad()
        outputs = model(images).half()  # the part in float16: its gradients are above 65504 at first
        loss = nn.functional.mse_loss(outputs.float(), targets, reduction="sum")
        scaler.scale(loss).backward()
        before, scale = model.weight.detach().clone(), scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
        if scaler.get_scale() < scale:
            skipped.append(step)
            assert torch.allclose(before, model.weight.detach(), 0, 0, equal_nan=True)  # it leaves the weights alone
        if step == 0:
            after_first = dict(optimizer.state[model.weight])
    return after_first, losses, skipped


# Fills what torch.empty returns with NaN, so that reading it shows. Otherwise it is whatever lay there before.
torch.use_deterministic_algorithms(True)
assert torch.utils.deterministic.fill_uninitialized_memory
print("torch", torch.__version__)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    results = {}
    for label, arguments in {
        "SGD foreach, momentum": {"way": "foreach", "momentum": 0.9},
        "SGD fused, momentum": {"way": "fused", "momentum": 0.9},
        "SGD fused": {"way": "fused"},
        "SGD fused, momentum, low scale": {"way": "fused", "momentum": 0.9, "init_scale": 2.0**10},
        "Adam fused": {"way": "fused", "name": "Adam"},
    }.items():
        state, losses, skipped = results[label] = train(**arguments)
        buffer = state.get("momentum_buffer")
        print(f"{label}: skipped steps {skipped}, buffer after the first step "
              f"{None if buffer is None else buffer.flatten()[:2].tolist()}, loss {losses[0]:.1f} to {losses[-1]:.1f}")
# Seen: GradScaler begins with the scale 65536 and finds its place by skipping the first steps. Fused SGD makes its
# momentum buffers with empty_like even in a skipped step, and does not fill them; the first step that counts takes them
# for the momentum of earlier steps. Here all weights are NaN from then on. Without the deterministic mode the buffers
# hold whatever lay in memory (3e3, -5e31, -2e34 in three processes, with infinite losses; zeros in another network, by
# luck). Without momentum, with Adam, or with a scale so low that no step is skipped, all is well.
assert not caught, [str(warning.message) for warning in caught]
foreach, fused = results["SGD foreach, momentum"], results["SGD fused, momentum"]
assert foreach[2][0] == 0 and fused[2][:1] == [0]
assert "momentum_buffer" not in foreach[0] and fused[0]["momentum_buffer"].isnan().all()
assert foreach[1][-1] < foreach[1][0] and fused[1][-1] != fused[1][-1]
for label, (_, losses, skipped) in results.items():
    if label != "SGD fused, momentum":
        assert losses[-1] < losses[0]
assert results["SGD fused"][2] and results["Adam fused"][2] and not results["SGD fused, momentum, low scale"][2]
PYTHON
