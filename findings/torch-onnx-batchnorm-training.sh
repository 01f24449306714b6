#!/usr/bin/env bash
# torch.onnx.export: a BatchNorm in training mode is exported with its running statistics, without a warning, although
# the documentation says to set the mode of the model before the export; Dropout keeps its mode.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import copy
import logging
import warnings

import numpy as np
import onnxruntime
import onnxscript
import torch
from torch import nn

print("torch", torch.__version__, "onnxscript", onnxscript.__version__, "onnxruntime", onnxruntime.__version__)
torch.manual_seed(0)
torch.set_num_threads(1)
logging.disable(logging.WARNING)
net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(288, 10))
with torch.no_grad():
    for _ in range(100):
        net(torch.randn(16, 3, 8, 8))  # running statistics of the pictures of the training
net.eval()
shifted = 3 * torch.randn(64, 3, 8, 8) + 2  # other pictures: brighter, with more contrast


def exported(model, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        program = torch.onnx.export(copy.deepcopy(model), (shifted,), verbose=False, **options)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    said = [str(warning.message) for warning in caught if "training mode" in str(warning.message)]
    feed = {session.get_inputs()[0].name: shifted.numpy()}
    return lambda: session.run(None, feed)[0], program.model_proto.graph, said


def torchs(model):
    with torch.no_grad():
        return copy.deepcopy(model)(shifted).numpy()


def difference(a, b):
    return float(np.abs(a - b).max())


# As in "adaptive batch normalization": the statistics of the pictures at hand, all else as in evaluation.
adaptive = copy.deepcopy(net)
adaptive[1].train()
run, graph, said = exported(adaptive)
print("BatchNorm in training mode, difference to torch:", round(difference(run(), torchs(adaptive)), 3))
print("to the same net in evaluation mode:", f"{difference(run(), torchs(net)):.1g}", "warnings:", said)
print("nodes:", [node.op_type for node in graph.node])
assert difference(torchs(adaptive), torchs(net)) > 0.5
assert difference(run(), torchs(adaptive)) > 0.5
assert difference(run(), torchs(net)) < 1e-4
assert said == []

# The whole net in training mode: the Dropout stays one, the BatchNorm does not.
run, graph, said = exported(copy.deepcopy(net).train())
nodes = [node.op_type for node in graph.node]
print("all in training mode:", nodes)
assert "Dropout" in nodes and "BatchNormalization" not in nodes

# Without running statistics the export is right, and so is the older exporter.
fresh = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, track_running_stats=False)).eval()
run, _, _ = exported(fresh)
assert difference(run(), torchs(fresh)) < 1e-4
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch.onnx.export(adaptive, (shifted,), "old.onnx", dynamo=False, training=torch.onnx.TrainingMode.PRESERVE)
session = onnxruntime.InferenceSession("old.onnx")
old = session.run(None, {session.get_inputs()[0].name: shifted.numpy()})[0]
print("dynamo=False, training=PRESERVE, difference to torch:", f"{difference(old, torchs(adaptive)):.1g}")
assert difference(old, torchs(adaptive)) < 1e-4
# Seen: the exported network is that of evaluation mode to 1e-6, with the BatchNorm folded into the convolution, and
# differs from torch's by 2.35. The older exporter with training=PRESERVE is right.
PYTHON
