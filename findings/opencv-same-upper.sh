#!/usr/bin/env bash
# OpenCV 5: cv2.dnn pads auto_pad=SAME_UPPER of an ONNX model as SAME_LOWER, so each strided convolution and pooling of
# an even size is shifted by a pixel: a digit network falls from 93.5 to 12.4 %.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencv-python-headless==5.0.0.93 onnx==1.23.2 onnxruntime==1.32.0 \
    torch==2.14.1 scikit-learn==1.9.1 numpy==2.4.6
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper, parser
from sklearn.datasets import load_digits
from torch.nn.functional import conv2d, cross_entropy, pad

print("opencv", cv2.__version__, "onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__)
torch.manual_seed(0)
torch.set_num_threads(1)


def outputs(text, x, **weights):
    """The same model file in ONNX Runtime and in OpenCV."""
    model = parser.parse_model('<ir_version: 8, opset_import: ["": 13]>\n' + text)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in weights.items())
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    file = model.SerializeToString()
    net = cv2.dnn.readNetFromONNX(np.frombuffer(file, np.uint8))
    net.setInput(x)
    return onnxruntime.InferenceSession(file, options).run(None, {"x": x})[0], net.forward()


# 1. The places of a 6 x 6 image in the windows of 3 x 3 with a stride of 2: SAME_UPPER pads below and on the right.
x = np.arange(36, dtype=np.float32).reshape(1, 1, 6, 6)
pool = """g (float[1, 1, 6, 6] x) => (float[1, 1, 3, 3] y)
   { y = MaxPool <kernel_shape: ints = [3, 3], strides: ints = [2, 2], auto_pad: string = "%s"> (x) }"""
upper, opencv_upper = outputs(pool % "SAME_UPPER", x)
lower, opencv_lower = outputs(pool % "SAME_LOWER", x)
print("SAME_UPPER:", upper[0, 0].tolist(), "OpenCV:", opencv_upper[0, 0].tolist())
print("SAME_LOWER:", lower[0, 0].tolist(), "OpenCV:", opencv_lower[0, 0].tolist())
assert upper[0, 0].tolist() == [[14, 16, 17], [26, 28, 29], [32, 34, 35]]
assert (opencv_upper == lower).all() and (opencv_lower == lower).all() and (upper != lower).any()

# 2. A network of strided convolutions that are padded as Keras and TensorFlow pad them ("same"), on handwritten digits.
images, digits = load_digits(return_X_y=True)
images, digits = torch.tensor(images.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32), torch.tensor(digits)
shapes = ((16, 1, 3, 3), (32, 16, 3, 3), (10, 32, 2, 2))
weights = [torch.nn.init.kaiming_uniform_(torch.empty(shape)).requires_grad_() for shape in shapes]


def network(x):
    for weight in weights[:2]:
        x = conv2d(pad(x, (0, 1, 0, 1)), weight, stride=2).relu()
    return conv2d(x, weights[2]).flatten(1)


optimizer = torch.optim.Adam(weights, lr=0.01)
for _ in range(150):
    optimizer.zero_grad()
    cross_entropy(network(images[:1200]), digits[:1200]).backward()
    optimizer.step()
text = """digits (float[597, 1, 8, 8] x) => (float[597, 10] y) {
   a = Conv <strides: ints = [2, 2], PAD> (x, w0)
   b = Relu (a)
   c = Conv <strides: ints = [2, 2], PAD> (b, w1)
   d = Relu (c)
   e = Conv (d, w2)
   y = Flatten (e)
}"""
arrays = {f"w{number}": weight.detach().numpy() for number, weight in enumerate(weights)}
accuracy = {}
paddings = {"auto_pad=SAME_UPPER": 'auto_pad: string = "SAME_UPPER"', "pads=[0, 0, 1, 1]": "pads: ints = [0, 0, 1, 1]"}
for name, padding in paddings.items():
    results = outputs(text.replace("PAD", padding), images[1200:].numpy(), **arrays)
    accuracy[name] = [float((result.argmax(1) == digits[1200:].numpy()).mean()) for result in results]
    print(f"{name}: accuracy in ONNX Runtime {accuracy[name][0]:.3f}, in OpenCV {accuracy[name][1]:.3f}")
assert min(accuracy["pads=[0, 0, 1, 1]"]) > 0.9 and accuracy["auto_pad=SAME_UPPER"][0] > 0.9
assert accuracy["auto_pad=SAME_UPPER"][1] < 0.4
# Seen: the windows of SAME_UPPER are those of SAME_LOWER; with the same padding written out as pads the network is
# right. OpenCV 4.14.0 does the reverse and pads both as SAME_UPPER, so an upgrade changes which models are right. Keras
# and TensorFlow's "same" is SAME_UPPER.
PYTHON
