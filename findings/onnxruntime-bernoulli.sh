#!/usr/bin/env bash
# ONNX Runtime: Bernoulli(p) is one with probability 1 - p, and all Bernoulli nodes of the same p draw the same values.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6 \
    scikit-learn==1.9.1 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

print("onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)


def build(nodes, constants, shape, output_shape):
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
        [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def session(model, optimize=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


# 1. The share of ones. "An output of 1 is produced with probability p", says the operator's documentation.
model = build([helper.make_node("Bernoulli", ["x"], ["y"])], {}, ["n"], ["n"])
for p in (0, 0.1, 0.5, 0.8, 1):
    x = np.full(100_000, p, np.float32)
    (runtime,), (reference,) = session(model).run(None, {"x": x}), ReferenceEvaluator(model).run(None, {"x": x})
    print(f"p = {p}: share of ones {runtime.mean():.3f} in ONNX Runtime, {reference.mean():.3f} in onnx.reference")
    assert abs(runtime.mean() - (1 - p)) < 0.01 and abs(reference.mean() - p) < 0.01
# It comes from the schema of Bernoulli in onnx, whose function body is Cast(Greater(RandomUniformLike(p), p)).

# 2. What it costs: dropout at inference that keeps 90% of 64 hidden values, mean of 20 passes, handwritten digits.
images, digits = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32)
network = MLPClassifier((64,), max_iter=60, random_state=0).fit(images[:1200], digits[:1200])
(w1, w2), (b1, b2) = network.coefs_, network.intercepts_
dropout = build(
    [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["a"]),
        helper.make_node("Relu", ["a"], ["h"]),
        helper.make_node("Mul", ["h", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "keep"], ["p"]),
        helper.make_node("Bernoulli", ["p"], ["mask"]),
        helper.make_node("Mul", ["h", "mask"], ["kept"]),
        helper.make_node("Div", ["kept", "keep"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "w2", "b2"], ["y"]),
    ],
    {"w1": w1, "b1": b1, "w2": w2, "b2": b2, "zero": 0, "keep": 0.9},
    ["n", 64],
    ["n", 10],
)
test = {"x": images[1200:]}
accuracy = {"without dropout": (network.predict(images[1200:]) == digits[1200:]).mean()}
for name, runner in (("onnx.reference", ReferenceEvaluator(dropout)), ("ONNX Runtime", session(dropout))):
    passes = np.stack([runner.run(None, test)[0] for _ in range(20)])
    accuracy[name + ", one pass"] = (passes[0].argmax(1) == digits[1200:]).mean()
    accuracy[name + ", 20 passes"] = (passes.mean(0).argmax(1) == digits[1200:]).mean()
for name, value in accuracy.items():
    print(f"accuracy {value:.3f} ({name})")
assert accuracy["onnx.reference, one pass"] > 0.82
assert accuracy["ONNX Runtime, one pass"] < accuracy["onnx.reference, one pass"] - 0.2

# 3. Stochastic depth: eight residual branches, each kept with probability 1/2 (where 1 - p is right). y counts them.


def depth(seeds):
    nodes = []
    for k in range(8):
        options = {"seed": k + 1.0} if seeds else {}
        nodes.append(helper.make_node("Bernoulli", ["p"], [f"keep{k}"], name=f"draw{k}", **options))
        nodes.append(helper.make_node("Mul", ["one", f"keep{k}"], [f"branch{k}"]))
        before, after = f"sum{k}" if k else "x", f"sum{k + 1}" if k < 7 else "y"
        nodes.append(helper.make_node("Add", [before, f"branch{k}"], [after]))
    return build(nodes, {"p": [0.5], "one": [1]}, [1], [1])


spread = {}
for optimize, seeds in ((False, False), (True, False), (True, True)):
    runner = session(depth(seeds), optimize)
    counts = np.array([runner.run(None, {"x": np.zeros(1, np.float32)})[0][0] for _ in range(2000)]).astype(int)
    spread[optimize, seeds] = sorted(set(counts.tolist()))
    print(
        f"optimized {optimize}, a seed for each node {seeds}: branches kept {spread[optimize, seeds]},",
        f"standard deviation {counts.std():.2f}",
    )
# Seen: without optimization 0 to 8 branches stay, with standard deviation 1.4, as it should be. With the default
# optimizations it is all of them or none: the nodes are equal, so they become one. RandomUniformLike nodes are not
# merged. A seed that differs from node to node keeps them apart, but then every session begins with the same values.
assert spread[False, False] == spread[True, True] == list(range(9))
assert spread[True, False] == [0, 8]
PYTHON
