#!/usr/bin/env bash
# ConfigSpace: an integer on a logarithmic scale with a normal or beta prior never takes some of its values, among them
# the default and most probable one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ConfigSpace==1.2.2 numpy==2.4.6 scipy==1.17.1
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
from collections import Counter
from importlib.metadata import version

import numpy as np
from ConfigSpace import Beta, ConfigurationSpace, Integer, Normal, Uniform

print("ConfigSpace", version("ConfigSpace"))


def sampled(distribution, bounds=(1, 8), log=True, n=100_000):
    hp = Integer("x", bounds, distribution=distribution, log=log)
    space = ConfigurationSpace(seed=0)
    space.add(hp)
    return hp, Counter(int(c["x"]) for c in space.sample_configuration(n))


for log in (False, True):
    for distribution in (Uniform(), Normal(5, 1), Beta(2, 2)):
        hp, counts = sampled(distribution, log=log)
        print(f"log={log!s:5} {distribution!s:28}", [counts[v] for v in range(1, 9)])
        missing = {v for v in range(1, 9) if not counts[v]}
        assert missing == ({5, 7} if log and not isinstance(distribution, Uniform) else set())
        if log and isinstance(distribution, Normal):
            density = hp.pdf_values(np.arange(1, 9))
            print("   ", hp, "density", density.round(3))
            assert hp.default_value == 5 == 1 + density.argmax() and hp.legal_value(5)
hp, counts = sampled(Beta(1, 1), bounds=(1, 100))
never = [v for v in range(1, 101) if not counts[v]]
print("1 to 100:", len(counts), "different numbers; the first that never come:", never[:9])
assert len(counts) == 55
# Seen: of 1 to 8, 5 and 7 never come, although the density says that 5, the default, is the most probable; of 1 to 100,
# 45 numbers never come. The axis is cut into as many equal steps as there are integers, after the logarithm, and what a
# step gives is rounded. Uniform integers, and all of them on a linear scale, come.
PYTHON
