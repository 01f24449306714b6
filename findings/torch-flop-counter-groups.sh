#!/usr/bin/env bash
# torch: FlopCounterMode counts the backward pass of grouped convolutions as if they had no groups.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def counts(model, images):
    with FlopCounterMode(display=False) as forward:
        output = model(images)
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    return forward.get_total_flops(), backward.get_total_flops()


print("torch", torch.__version__, "torchvision", torchvision.__version__)
images = torch.randn(4, 64, 16, 16, requires_grad=True)
for groups in (1, 4, 16, 64):
    convolution = nn.Conv2d(64, 64, 3, padding=1, groups=groups, bias=False)
    forward, backward = counts(convolution, images)
    print(f"Conv2d(64, 64, 3, groups={groups}): forward {forward:,}, backward {backward:,}, "
          f"{backward / forward:.0f} times")
    # The same convolution as `groups` separate ones does the same work, forwards and backwards.
    parts = [nn.Conv2d(64 // groups, 64 // groups, 3, padding=1, bias=False) for _ in range(groups)]
    with torch.no_grad():
        for part, kernel in zip(parts, convolution.weight.chunk(groups)):
            part.weight.copy_(kernel)
    separate = [counts(part, chunk) for part, chunk in zip(parts, images.detach().chunk(groups, 1))]
    given = torch.cat([part(chunk) for part, chunk in zip(parts, images.chunk(groups, 1))], 1)
    assert torch.allclose(given, convolution(images), atol=1e-5)
    assert forward == sum(count for count, _ in separate)
    # One product for the gradient of the images, one for that of the kernel: both as large as the forward pass.
    assert backward == forward * (1 + groups)

ratios = {}
for name in ("resnet18", "resnext50_32x4d", "convnext_tiny", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0"):
    torch.manual_seed(0)
    forward, backward = counts(getattr(torchvision.models, name)(), torch.randn(2, 3, 64, 64))
    ratios[name] = (forward + backward) / forward
    print(f"{name}: forward {forward / 1e6:,.0f} million, training step {(forward + backward) / 1e6:,.0f} million, "
          f"{ratios[name]:.1f} times")
# Seen: a training step costs 3 forward passes; the counter says 2.9 of resnet18, but 4.7, 8.7, 19.6, 25.3 and 39.7 of
# the others, and so ranks efficientnet_b0's step (by its forward pass a quarter of resnet18's) at three times the FLOPs
# of resnet18's. The gradient of a kernel is counted with all pairs of channels: `groups` times too much.
assert 2.9 < ratios["resnet18"] < 3.0
assert ratios["convnext_tiny"] > 8 and ratios["mobilenet_v2"] > 19 and ratios["efficientnet_b0"] > 39
PYTHON
