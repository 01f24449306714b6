#!/usr/bin/env bash
# OnnxSlim: a factor for each column or row after a convolution becomes one for each channel if their numbers are equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 onnxsim==0.8.1 onnxslim==0.1.98 numpy==2.4.6 \
    scikit-learn==1.9.1 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import copy
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import onnxsim
import onnxslim
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

print(*(f"{name} {version(name)}" for name in ("onnx", "onnxruntime", "onnxsim", "onnxslim")))
generator = np.random.default_rng(0)


def build(nodes, constants, size):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {"x": x.astype(np.float32)})[0]


# A convolution of 32 x 32 pixels, and a window that fades towards left and right, or the upper and lower border.
window = np.hanning(34)[1:-1]
x = generator.normal(size=(4, 1, 32, 32))
error = {}
shapes = ((32,), (1, 1, 1, 32), (1, 1, 32, 1), (1, 32, 1, 1))
for channels, shape in (*((32, shape) for shape in shapes), (31, (1, 1, 1, 32))):
    model = build(
        [
            helper.make_node("Conv", ["x", "kernel", "bias"], ["features"], pads=[1, 1, 1, 1]),
            helper.make_node("Mul", ["features", "window"], ["y"]),
        ],
        {
            "kernel": generator.normal(size=(channels, 1, 3, 3)),
            "bias": generator.normal(size=channels),
            "window": window.reshape(shape),
        },
        32,
    )
    right = run(model, x)
    for name, simplified in (
        ("onnxsim", onnxsim.simplify(copy.deepcopy(model))[0]),
        ("onnxslim", onnxslim.slim(copy.deepcopy(model))),
    ):
        error[name, channels, shape] = np.abs(run(simplified, x) - right).mean() / np.abs(right).mean()
    print(
        f"{channels} channels, factor of shape {shape}: mean error",
        *(f"{name} {error[name, channels, shape]:.2%}" for name in ("onnxsim", "onnxslim")),
    )
assert all(error["onnxslim", 32, shape] > 0.5 for shape in shapes[:3])
assert all(value < 1e-5 for (name, channels, shape), value in error.items() if name == "onnxsim")
assert error["onnxslim", 32, (1, 32, 1, 1)] < 1e-5 and error["onnxslim", 31, (1, 1, 1, 32)] < 1e-5

# What it costs: handwritten digits of 8 x 8 pixels, 8 fixed kernels, a window over the columns, a linear classifier.
images, digits = load_digits(return_X_y=True)
images = images.reshape(-1, 1, 8, 8) / 16
constants = {"kernel": generator.normal(size=(8, 1, 3, 3)), "window": np.hanning(10)[1:-1]}
nodes = [
    helper.make_node("Conv", ["x", "kernel"], ["features"], pads=[1, 1, 1, 1]),
    helper.make_node("Mul", ["features", "window"], ["faded"]),
    helper.make_node("Relu", ["faded"], ["positive"]),
    helper.make_node("Flatten", ["positive"], ["y"]),
]
values = run(build(nodes, constants, 8), images[:1200]).astype(np.float64)
linear = np.linalg.solve(values.T @ values + np.eye(512), values.T @ np.eye(10)[digits[:1200]])
nodes = [
    *nodes[:3],
    helper.make_node("Flatten", ["positive"], ["flat"]),
    helper.make_node("MatMul", ["flat", "linear"], ["y"]),
]
model = build(nodes, {**constants, "linear": linear}, 8)
accuracy = {}
for name, network in (("original", model), ("onnxslim", onnxslim.slim(copy.deepcopy(model)))):
    accuracy[name] = (run(network, images[1200:]).argmax(axis=1) == digits[1200:]).mean()
    print(f"{name}: {[node.op_type for node in network.graph.node]}, accuracy {accuracy[name]:.3f}")
# Seen: OnnxSlim moves the factor into the convolution's weights where the factor, without its axes of size 1, has one
# axis that is as long as the number of output channels. It does not look at which axis that is. 32 x 32 pixels and 32
# channels are a usual pair. No error or warning comes.
assert accuracy["original"] > 0.85 and accuracy["onnxslim"] < accuracy["original"] - 0.2
PYTHON
