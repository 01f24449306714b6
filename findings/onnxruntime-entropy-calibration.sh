#!/usr/bin/env bash
# ONNX Runtime: quantize_static with CalibrationMethod.Entropy writes the same model as MinMax, whatever the data.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$folder"
cat > entropy.py <<'PYTHON'
import contextlib
import io
import logging

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, quantize_static
from onnxruntime.quantization.calibrate import create_calibrator

logging.disable(logging.WARNING)
random = np.random.default_rng(0)
weights = numpy_helper.from_array(random.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32), "w")
graph = helper.make_graph(
    [helper.make_node("Conv", ["images", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])],
    "network",
    [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", 3, 16, 16])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 14, 14])],
    [weights],
)
network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
onnx.save(network, "float.onnx")


class Reader(CalibrationDataReader):
    def __init__(self, batches):
        self.batches = iter(batches)

    def get_next(self):
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


def quantized(method, batches, **options):
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static("float.onnx", "int8.onnx", Reader(batches), calibrate_method=method, extra_options=options)
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load("int8.onnx").graph.initializer}


def equal(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def ranges(batches, **options):
    with contextlib.redirect_stdout(io.StringIO()):
        calibrator = create_calibrator("float.onnx", calibrate_method=CalibrationMethod.Entropy, extra_options=options)
        calibrator.collect_data(Reader(batches))
        return [round(float(bound), 2) for bound in calibrator.compute_data()["images"].range_value]


print("onnxruntime", onnxruntime.__version__)
draws = {
    "normal": random.normal(0, 1, (32, 3, 16, 16)),
    "heavy tails": random.standard_t(3, (32, 3, 16, 16)),
    "one value of 100": np.append(random.normal(0, 1, 32 * 768 - 1), 100.0).reshape(32, 3, 16, 16),
    "positive": random.exponential(1, (32, 3, 16, 16)),
}
for name, images in draws.items():
    images = images.astype(np.float32)
    for batches in ([images], list(images[:, None])):
        minmax = quantized(CalibrationMethod.MinMax, batches)
        entropy = quantized(CalibrationMethod.Entropy, batches)
        asked = quantized(CalibrationMethod.Entropy, batches, num_bins=512)
        percentile = quantized(CalibrationMethod.Percentile, batches, CalibPercentile=99.9)
        print(f"{name}, {len(batches)} batches: scale of the images {minmax['images_scale']:.4f} by MinMax, "
              f"{entropy['images_scale']:.4f} by Entropy, {asked['images_scale']:.4f} by it with num_bins=512, "
              f"{percentile['images_scale']:.4f} by Percentile")
        assert equal(entropy, minmax) and equal(asked, minmax)
        assert not equal(percentile, minmax)
tails = [draws["heavy tails"].astype(np.float32)]
low, high = float(tails[0].min()), float(tails[0].max())
default, fine = ranges(tails), ranges(tails, num_bins=512)
print(f"heavy tails, {low:.2f} to {high:.2f}: Entropy keeps {default} by default, {fine} with 512 bins")
# Seen: all weights, scales and zero points are equal to the bit. The method tries how many of the histogram's bins to
# keep: all numbers from num_quantized_bins on. Both that and the number of bins are 128, so there is one candidate: the
# whole range. quantize_static passes neither number on and says nothing about unknown extra_options; unless told
# otherwise it merges all batches before the histogram is made, so that does not grow either. create_calibrator takes
# num_bins, and then the method does cut the tails off.
assert default == [round(low, 2), round(high, 2)]
assert fine[0] > low / 1.5 and fine[1] < high / 1.5
PYTHON
"$folder/venv/bin/python" -W ignore entropy.py
