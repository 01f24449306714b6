#!/usr/bin/env bash
# netcal: TemperatureScaling leaves float32 probabilities as they are, without a word; the same in float64 it calibrates.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet netcal==1.4.0 torch==2.14.1 numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version

import numpy as np
import torch
from netcal.metrics import ECE
from netcal.scaling import LogisticCalibration, TemperatureScaling

torch.set_num_threads(1)
print("netcal", version("netcal"), "torch", torch.__version__, "scipy", version("scipy"))
# Logits of ten classes, labels drawn from their softmax, and a classifier that is twice as sure as it should be.
generator = np.random.default_rng(0)
logits = generator.normal(scale=1.5, size=(5000, 10))
true = torch.tensor(logits).softmax(dim=1).numpy()
labels = np.array([generator.choice(10, p=row) for row in true])
overconfident = torch.tensor(2 * logits).softmax(dim=1).numpy()

fitted = {}
for dtype in (np.float64, np.float32):
    probabilities = overconfident.astype(dtype)
    scaling = TemperatureScaling()
    calibrated = scaling.fit_transform(probabilities, labels)
    fitted[dtype] = scaling.temperature.item()
    error = ECE(15).measure(calibrated, labels)
    print(f"{dtype.__name__}: factor of the logits {fitted[dtype]:.3f}, expected calibration error {error:.3f}")
before = ECE(15).measure(overconfident, labels)
print(f"right: 0.500; not calibrated: {before:.3f}")
# Seen: float64 finds 0.508; float32, which softmax of a network returns, ends at its initial value of exactly 1. The
# loss is computed in the probabilities' type, and scipy's minimize differentiates it by steps of 1.5e-8: below the
# resolution of float32 both losses are equal, the slope is 0, and the search ends at once, as converged.
assert 0.45 < fitted[np.float64] < 0.55
assert fitted[np.float32] == 1.0

moved = np.abs(LogisticCalibration().fit_transform(overconfident.astype(np.float32), labels) - overconfident).max()
print(f"LogisticCalibration in float32 moves no probability by more than {moved:.1g}")
assert moved < 1e-4
PYTHON
