#!/usr/bin/env bash
# Syne Tune: BOHB and TPE model a loguniform parameter on a linear axis, of which 1e-4 to 0.1 is a tenth.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet syne-tune==0.16.0
cd "$folder"
cat > axis.py <<'PYTHON'
import syne_tune
from syne_tune.config_space import loguniform, uniform
from syne_tune.optimizer.schedulers.searchers.kde import KernelDensityEstimator
from syne_tune.optimizer.schedulers.searchers.utils.hp_ranges_factory import make_hyperparameter_ranges

RATES = (1e-4, 1e-3, 1e-2, 0.1, 1.0)
space = {"lr": loguniform(1e-4, 1.0)}
density = KernelDensityEstimator(space, random_seed=0)
ranges = make_hyperparameter_ranges(space)
linear = [float(density._to_feature({"lr": rate})[0]) for rate in RATES]
logarithmic = [float(ranges.to_ndarray({"lr": rate})[0]) for rate in RATES]
exponent = KernelDensityEstimator({"lr": uniform(-4, 0)}, random_seed=0)
by_exponent = [float(exponent._to_feature({"lr": power})[0]) for power in (-4, -3, -2, -1, 0)]
print("syne-tune", syne_tune.__version__, "learning rates", RATES)
print("the kernel density's axis:", [round(number, 4) for number in linear])
print("the other searchers' axis:", [round(number, 4) for number in logarithmic])
print("the kernel density's axis of uniform(-4, 0):", by_exponent)
# Seen: 0, 0.0009, 0.0099, 0.0999, 1 against 0, 0.25, 0.5, 0.75, 1. The first draws of such a space are logarithmic, so
# the density of the good and of the bad settings lie on each other at the low end of the axis. A parameter that is the
# exponent has the axis that was meant.
assert max(linear[:4]) < 0.1
assert all(abs(seen - number / 4) < 1e-6 for number, seen in enumerate(logarithmic))
assert all(abs(seen - number / 4) < 1e-6 for number, seen in enumerate(by_exponent))
PYTHON
"$folder/venv/bin/python" -W ignore axis.py
