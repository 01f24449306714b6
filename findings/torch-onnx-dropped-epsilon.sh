#!/usr/bin/env bash
# torch.onnx.export: its optimizer takes 1e-8 for zero and removes "+ 1e-8" before a log or a division, so that the
# model returns NaN for exactly the inputs that the epsilon is for; a factor of 1.000009 it takes for one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import logging
import warnings

import numpy as np
import onnxruntime
import onnxscript
import torch
from torch import nn

print("torch", torch.__version__, "onnxscript", onnxscript.__version__, "onnxruntime", onnxruntime.__version__)
logging.disable(logging.WARNING)


class Entropy(nn.Module):
    """How unsure a classifier is, from its logits."""

    def __init__(self, epsilon):
        super().__init__()
        self.epsilon = epsilon

    def forward(self, logits):
        p = logits.softmax(dim=1)
        return -(p * torch.log(p + self.epsilon)).sum(dim=1)


class Unit(nn.Module):
    """Feature vectors of length one."""

    def forward(self, features):
        return features / (features.norm(dim=1, keepdim=True) + 1e-8)


class Scaled(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


def exported(model, x, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        program = torch.onnx.export(model.eval(), (x,), verbose=False, **options)
    assert [w for w in caught if "onnx" in str(w.message).lower() and issubclass(w.category, UserWarning)] == []
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    return got, [node.op_type for node in program.model.graph]


unsure = torch.tensor([[2.0, 1.0, 0.0]])
sure = torch.tensor([[200.0, 1.0, 0.0]])  # the softmax of the others is 0 in float32
for epsilon, kept in ((1e-6, True), (1.1e-8, True), (1e-8, False), (1e-9, False), (1e-12, False)):
    model = Entropy(epsilon)
    both = torch.cat([unsure, sure])
    got, nodes = exported(model, both)
    want = model(both).numpy()
    print(f"entropy with {epsilon:g}: torch {want.round(4).tolist()}, exported {got.round(4).tolist()}, nodes {nodes}")
    assert np.isfinite(want).all() and abs(got[0] - want[0]) < 1e-5  # an unsure image shows no difference
    assert ("Add" in nodes) == kept and np.isfinite(got[1]) == kept

features = torch.tensor([[3.0, 4.0], [0.0, 0.0]])  # those of a black image after ReLUs are all zero
got, nodes = exported(Unit(), features)
print(f"unit vectors: torch {Unit()(features).tolist()}, exported {got.tolist()}, nodes {nodes}")
assert Unit()(features)[1].tolist() == [0, 0] and np.isnan(got[1]).all() and "Add" not in nodes

got, nodes = exported(Unit(), features, optimize=False)
print(f"unit vectors, optimize=False: exported {got.tolist()}")
assert got[1].tolist() == [0, 0] and "Add" in nodes

class Clamped(Entropy):
    def forward(self, logits):
        p = logits.softmax(dim=1)
        return -(p * torch.log(p.clamp(min=self.epsilon))).sum(dim=1)


got, nodes = exported(Clamped(1e-12), sure)
print(f"entropy with clamp(min=1e-12): exported {got.tolist()}, nodes {nodes}")
assert np.isfinite(got).all() and "Clip" in nodes

million = torch.full((2,), 1e6)
for factor, kept in ((1.00002, True), (1.000009, False)):
    got, nodes = exported(Scaled(factor), million)
    print(f"a million times {factor}: torch {Scaled(factor)(million)[0]:.1f}, exported {got[0]:.1f}")
    assert ("Mul" in nodes) == kept
# Seen: from 1e-8 down the Add is gone, without a warning, and the entropy of a sure image or the direction of a zero
# vector is NaN. A check on random inputs agrees to the last digit, with or without epsilon. The optimizer, which is on
# by default, replaces x + 0, x - 0, x * 1 and x / 1 by x, and compares the constants by isclose with an absolute
# tolerance of 1e-8 and a relative one of 1e-5. clamp(min=1e-12), or optimize=False, keeps what was meant.
PYTHON
