#!/usr/bin/env bash
# torch.onnx.export: scatter_reduce("mean") is exported as the last value, and divisor_override, label_smoothing and the
# type of a shifted uint8 are dropped, without a warning.
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
from torch.nn import functional

print("torch", torch.__version__, "onnxscript", onnxscript.__version__, "onnxruntime", onnxruntime.__version__)
torch.manual_seed(0)
logging.disable(logging.WARNING)


class SegmentMean(nn.Module):
    """The mean of the columns that belong to each digit of a number."""

    def forward(self, columns, digit):
        places = digit[:, None, :].expand_as(columns)
        empty = columns.new_zeros(columns.shape[0], columns.shape[1], 3)
        return empty.scatter_reduce(2, places, columns, "mean", include_self=False)


class WindowSum(nn.Module):
    def forward(self, image):
        return functional.avg_pool2d(image, 3, stride=1, divisor_override=1)


class Loss(nn.Module):
    def forward(self, logits, labels):
        return functional.cross_entropy(logits, labels, label_smoothing=0.1)


class Posterize(nn.Module):
    """The four high bits of each level, as a number."""

    def forward(self, image):
        return ((image >> 4) << 4).float()


def both(model, *inputs):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        program = torch.onnx.export(model.eval(), inputs, verbose=False)
    assert [w for w in caught if issubclass(w.category, UserWarning) and "onnx" in str(w.message).lower()] == []
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    feeds = {put.name: value.numpy() for put, value in zip(session.get_inputs(), inputs)}
    return model(*inputs).numpy(), session.run(None, feeds)[0]


columns = torch.arange(8.0)[None, None]
right, got = both(SegmentMean(), columns, torch.tensor([[0, 0, 0, 1, 1, 2, 2, 2]]))
print("scatter_reduce mean:", right.ravel().tolist(), "exported:", got.ravel().tolist())
assert right.ravel().tolist() == [1, 3.5, 6]
assert got.ravel().tolist() == [2, 4, 7]  # the last value of each segment

right, got = both(WindowSum(), torch.ones(1, 1, 4, 4))
print("avg_pool2d, divisor_override=1:", right.ravel().tolist(), "exported:", got.ravel().tolist())
assert (right == 9).all() and (np.abs(got - 1) < 1e-6).all()

logits, labels = 5 * torch.eye(4), torch.arange(4)
right, got = both(Loss(), logits, labels)
plain = functional.cross_entropy(logits, labels).item()
print(f"cross_entropy, label_smoothing=0.1: {right:.4f}, exported: {got:.4f}, without: {plain:.4f}")
assert abs(got - plain) < 1e-5 and right > got + 0.3

levels = torch.tensor([0, 100, 127, 128, 200, 255], dtype=torch.uint8)
right, got = both(Posterize(), levels)
print("uint8 shifts:", right.tolist(), "exported:", got.tolist())
assert right.tolist() == [0, 96, 112, 128, 192, 240]
assert got.tolist() == [0, 96, 112, -128, -64, -16]
# Seen: all four models compute something else in ONNX Runtime. The older exporter refuses the mean ("ONNX does not
# support mean reduction"). export(..., verify=True) or a comparison of one's own notices it.
PYTHON
