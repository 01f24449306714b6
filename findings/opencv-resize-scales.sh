#!/usr/bin/env bash
# OpenCV 5: cv2.dnn ignores the scales of Resize once it has the size, so where scale times size is no whole number the
# image is stretched, by up to 1 / scale pixels at its far edge: 33 columns times 0.3 by three.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper, parser
from onnx.reference import ReferenceEvaluator

print("opencv", cv2.__version__, "onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)


def columns(size, scale, mode="linear", rule="pytorch_half_pixel"):
    """The column of the input that each column of the output comes from: the input holds its column numbers."""
    x = np.tile(np.arange(size, dtype=np.float32), (1, 1, 2, 1))
    model = parser.parse_model(f"""<ir_version: 8, opset_import: ["": 13]>
        g (float[1, 1, 2, {size}] x) => (float[1, 1, 2, width] y)
        {{ y = Resize<mode = "{mode}", coordinate_transformation_mode = "{rule}", nearest_mode = "floor">
               (x, , scales) }}""")
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 1, scale], np.float32), "scales"))
    onnx.checker.check_model(model, full_check=True)
    file = model.SerializeToString()
    runtime = onnxruntime.InferenceSession(file).run(None, {"x": x})[0]
    assert np.allclose(runtime, ReferenceEvaluator(model).run(None, {"x": x})[0], atol=1e-4)
    net = cv2.dnn.readNetFromONNX(np.frombuffer(file, np.uint8))
    net.setInput(x)
    return runtime[0, 0, 0], net.forward()[0, 0, 0]


right, opencv = columns(7, 0.5)
print("7 columns by 0.5: ONNX Runtime", right.tolist(), "OpenCV", opencv.round(3).tolist())
assert np.allclose(right, [0.5, 2.5, 4.5], atol=1e-4) and np.allclose(opencv, [2 / 3, 3, 16 / 3], atol=1e-4)

right, opencv = columns(8, 0.5)
print("8 columns by 0.5: ONNX Runtime", right.tolist(), "OpenCV", opencv.round(3).tolist())
assert np.allclose(right, opencv, atol=1e-4)

right, opencv = columns(7, 0.5, rule="asymmetric")
print("7 columns by 0.5, asymmetric: ONNX Runtime", right.tolist(), "OpenCV", opencv.round(3).tolist())
assert np.allclose(right, [0, 2, 4], atol=1e-4) and np.allclose(opencv, [0, 7 / 3, 14 / 3], atol=1e-4)

for size, scale, mode, least in ((33, 0.3, "linear", 2.8), (33, 0.3, "nearest", 2.9), (33, 0.3, "cubic", 2.7),
                                 (7, 1.5, "linear", 0.2), (31, 1.25, "linear", 0.5)):
    right, opencv = columns(size, scale, mode)
    ratio = len(right) / size  # what OpenCV puts in the place of the scale
    print(f"{size} columns by {scale}, {mode}: the last one comes from {right[-1]:.2f}, in OpenCV, by {ratio:.4f}, "
          f"from {opencv[-1]:.2f}")
    assert len(right) == len(opencv) == int(size * scale)
    assert np.abs(right - opencv).max() > least
    if mode == "linear":
        given, used = ((np.arange(len(right)) + 0.5) / factor - 0.5 for factor in (scale, ratio))
        assert np.allclose(right, given.clip(0, size - 1), atol=1e-3)
        assert np.allclose(opencv, used.clip(0, size - 1), atol=1e-3)
# Seen: 7 columns halved are 0.5, 2.5, 4.5 by ONNX's rule, (x + 0.5) / scale - 0.5, in ONNX Runtime, ONNX's reference,
# and torch, whose Upsample(scale_factor=0.5) is exported with this scale. OpenCV puts 3 / 7 in its place. Where scale
# times size is a whole number there is no difference, so that a check at 32 or 224 pixels passes.
PYTHON
