#!/usr/bin/env bash
# onnxsim and OnnxSlim: equal random nodes become one; OnnxSlim also removes dropout in training mode and freezes noise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 onnxsim==0.8.1 onnxslim==0.1.98 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import copy
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import onnxsim
import onnxslim
from onnx import TensorProto, helper, numpy_helper

print(*(f"{name} {version(name)}" for name in ("onnx", "onnxruntime", "onnxsim", "onnxslim")))


def build(nodes, constants, shape, output_shape):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def simplify(model):
    simplified, valid = onnxsim.simplify(copy.deepcopy(model))
    assert valid
    return {"original": model, "onnxsim": simplified, "onnxslim": onnxslim.slim(copy.deepcopy(model))}


def draw(model, x, count):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    runner = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return np.stack([runner.run(None, {"x": x})[0] for _ in range(count)])


switches = {"ratio": np.float32(0.5), "training": np.array(True)}
features = np.random.default_rng(0).normal(size=(1, 64)).astype(np.float32)

# 1. Multi-sample dropout: eight dropouts in training mode on the same features, one linear layer, and the mean.
nodes = [helper.make_node("Dropout", ["x", "ratio", "training"], [f"d{k}"], name=f"drop{k}") for k in range(8)]
nodes += [helper.make_node("Gemm", [f"d{k}", "w", "b"], [f"z{k}"], name=f"layer{k}") for k in range(8)]
nodes += [helper.make_node("Mean", [f"z{k}" for k in range(8)], ["y"])]
layer = {
    "w": np.random.default_rng(1).normal(size=(64, 10)).astype(np.float32) / 8,
    "b": np.zeros(10, np.float32),
}
deviation = {}
for name, model in simplify(build(nodes, {**switches, **layer}, [1, 64], [1, 10])).items():
    count = sum(node.op_type == "Dropout" for node in model.graph.node)
    deviation[name] = draw(model, features, 500).std(axis=0).mean()
    print(f"{name}: {count} Dropout nodes, standard deviation of a logit over passes {deviation[name]:.3f}")
    assert count == {"original": 8, "onnxsim": 1, "onnxslim": 0}[name]
assert 2.6 < deviation["onnxsim"] / deviation["original"] < 3.1  # sqrt(8) is 2.83: eight draws have become one
assert deviation["onnxslim"] < 1e-5 < 0.2 < deviation["original"]

# 2. The difference of two draws, for each random operator. It should differ from 0.
for name, options in (
    ("RandomNormalLike", {}),
    ("RandomUniformLike", {}),
    ("Multinomial", {"sample_size": 64}),
    ("Dropout", {}),
):
    inputs = ["x", "ratio", "training"] if name == "Dropout" else ["x"]
    nodes = [helper.make_node(name, inputs, [k], name=k, **options) for k in "ab"]
    nodes += [helper.make_node("Sub", ["a", "b"], ["d"]), helper.make_node("Cast", ["d"], ["y"], to=TensorProto.FLOAT)]
    models = simplify(build(nodes, switches if name == "Dropout" else {}, [1, 64], [1, 64]))
    largest = {tool: float(np.abs(draw(model, features, 5)).max()) for tool, model in models.items()}
    print(f"{name}: largest difference of two draws", {tool: round(value, 2) for tool, value in largest.items()})
    assert largest["original"] > 0 and largest["onnxsim"] == largest["onnxslim"] == 0

# 3. Noise whose shape is a constant: how many of 20 runs of one session differ?
cases = {
    "RandomNormal": ([helper.make_node("RandomNormal", [], ["noise"], shape=[1, 64])], {}),
    "RandomNormalLike": (
        [helper.make_node("RandomNormalLike", ["like"], ["noise"])],
        {"like": np.zeros((1, 64), np.float32)},
    ),
    "Dropout": (
        [helper.make_node("Dropout", ["like", "ratio", "training"], ["noise"])],
        {"like": np.ones((1, 64), np.float32), **switches},
    ),
}
for name, (nodes, constants) in cases.items():
    nodes = [*nodes, helper.make_node("Mul", ["x", "noise"], ["y"])]
    different = {}
    for tool, model in simplify(build(nodes, constants, [1, 64], [1, 64])).items():
        different[tool] = len({values.tobytes() for values in draw(model, features, 20)})
    print(f"{name} of a constant shape: different results of 20 runs", different)
    assert different == {"original": 20, "onnxsim": 20, "onnxslim": 1}
# Seen: both tools remove common subexpressions, and two nodes of equal type, inputs and attributes count as one, random
# or not. OnnxSlim takes a Dropout between two nodes for the identity, whatever its training_mode says, and folds a
# random node without variable inputs: one draw is stored as a weight. No warning comes, and onnxsim returns "valid",
# since its comparison of the outputs (check_n) and that of OnnxSlim (model_check) are off by default.
PYTHON
