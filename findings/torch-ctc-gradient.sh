#!/usr/bin/env bash
# torch: on the CPU, the gradient of ctc_loss is that of the loss only for inputs that are a log-softmax.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.nn.functional import ctc_loss

torch.manual_seed(0)
frames, classes = 6, 4
log_probs = torch.randn(frames, 1, classes, dtype=torch.float64).log_softmax(-1).requires_grad_()


def loss(x):
    return ctc_loss(x, torch.tensor([[1, 2]]), [frames], [2], reduction="sum")


def numeric(function, x, step=1e-6):
    with torch.no_grad():
        steps = torch.eye(x.numel(), dtype=x.dtype).view(-1, *x.shape) * step
        return torch.stack([(function(x + s) - function(x - s)) / (2 * step) for s in steps]).view_as(x)


(given,) = torch.autograd.grad(loss(log_probs), log_probs)
true = numeric(loss, log_probs)
difference = given - true
print("torch", torch.__version__)
print("frame 0, autograd:", given[0, 0].tolist())
print("frame 0, finite differences:", true[0, 0].tolist())

# Through a log-softmax the two are one and the same.
logits = torch.randn(frames, 1, classes, dtype=torch.float64, requires_grad=True)
(given_logits,) = torch.autograd.grad(loss(logits.log_softmax(-1)), logits)
true_logits = numeric(lambda x: loss(x.log_softmax(-1)), logits)
# A temperature behind the log-softmax, learnt with the rest: its gradient has the wrong value.
scale = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
(given_scale,) = torch.autograd.grad(loss(logits.detach().log_softmax(-1) * scale), scale)
true_scale = numeric(lambda x: loss(logits.detach().log_softmax(-1) * x), scale.detach())
print("of a factor behind the log-softmax:", given_scale.item(), "instead of", true_scale.item())
# Seen: autograd gives exp(input) too much everywhere, which a log-softmax before it takes away again. Anything between
# the two (temperature, label smoothing, a penalty on the blank) trains on a wrong gradient, without an error.
assert torch.allclose(difference, log_probs.detach().exp(), atol=1e-6)
assert torch.allclose(given_logits, true_logits, atol=1e-6)
assert abs(given_scale.item() - true_scale.item()) > 0.1
PYTHON
