#!/usr/bin/env bash
# scikit-learn: temperature scaling of classes that are not numbered 0, 1, 2, ... ends at equal probabilities.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
cd "$folder"
"$folder/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
import sklearn
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB

print("scikit-learn", sklearn.__version__)
images, digits = load_digits(return_X_y=True)
fit, calibrate, test = slice(0, 600), slice(600, 1200), slice(1200, None)


def measure(labels, method="temperature"):
    """Log loss before and after, probability of the prediction and accuracy after, of a classifier that is too sure."""
    classifier = GaussianNB(var_smoothing=1e-3).fit(images[fit], labels[fit])
    calibrated = CalibratedClassifierCV(FrozenEstimator(classifier), method=method)
    calibrated.fit(images[calibrate], labels[calibrate])
    before, after = classifier.predict_proba(images[test]), calibrated.predict_proba(images[test])
    accuracy = (calibrated.predict(images[test]) == labels[test]).mean()
    return [
        log_loss(labels[test], before, labels=calibrated.classes_),
        log_loss(labels[test], after, labels=calibrated.classes_),
        after.max(axis=1).mean(),
        accuracy,
    ]


rows = {
    "0 to 9": measure(digits),
    "1 to 10, as in SVHN": measure(np.where(digits == 0, 10, digits)),
    "1.0 to 10.0": measure(digits + 1.0),
    "0, 10, ... 90": measure(10 * digits),
    "'0' to '9'": measure(digits.astype(str)),
    "1 to 10, sigmoid": measure(np.where(digits == 0, 10, digits), "sigmoid"),
    "False, True": measure(digits > 4),
    "1, 2": measure(1 + (digits > 4)),
    "-1, 1": measure(np.where(digits > 4, 1, -1)),
}
for name, (before, after, sure, accuracy) in rows.items():
    print(f"{name:20} log loss {before:.3f} -> {after:.3f}, mean top probability {sure:.3f}, accuracy {accuracy:.3f}")
# Seen: with the classes 0 to 9 or their names the log loss falls from 4.0 to 0.71; with 1 to 10 it is 2.30, ln(10), for
# every probability is 0.1. Only names are encoded before the fit. A number is taken as the index of a column: class 1
# is compared with the column of class 2 and class 10 with none, and the search ends at its bound, a temperature of
# e**10. A temperature keeps the order, so predictions and accuracy are as before, and no warning comes (-W error). Of
# the two classes -1 and 1 only the second counts.
for wrong in ("1 to 10, as in SVHN", "1.0 to 10.0"):
    assert abs(rows[wrong][1] - np.log(10)) < 0.001 and rows[wrong][2] < 0.11
assert rows["0, 10, ... 90"][1] > rows["0 to 9"][1] + 0.5
assert abs(rows["1, 2"][1] - np.log(2)) < 0.001 and rows["1, 2"][2] < 0.51
assert rows["-1, 1"][1] > rows["False, True"][1] + 0.05
for right in ("0 to 9", "'0' to '9'", "1 to 10, sigmoid", "False, True"):
    assert rows[right][1] < 0.95 * rows[right][0] and rows[right][2] > 0.6
assert rows["0 to 9"][3] == rows["'0' to '9'"][3] == rows["1.0 to 10.0"][3] > 0.7
PYTHON
