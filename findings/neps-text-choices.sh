#!/usr/bin/env bash
# NePS: a search over texts proposes other settings in each process, whatever is seeded.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet neural-pipeline-search==0.17.0
cd "$folder"
cat > texts.py <<'PYTHON'
import random
import sys

import neps
import numpy as np
import torch


class Texts(neps.PipelineSpace):
    optimizer = neps.Categorical(choices=("adam", "sgd", "muon"))
    epochs = neps.IntegerFidelity(lower=1, upper=9)


class Numbers(neps.PipelineSpace):
    optimizer = neps.Categorical(choices=(0, 1, 2))
    epochs = neps.IntegerFidelity(lower=1, upper=9)


space = {"texts": Texts, "numbers": Numbers}[sys.argv[1]]()
random.seed(0), np.random.seed(0), torch.manual_seed(0)
search = neps.AskAndTell(neps.algorithms.hyperband(space))
print([search.ask().config["optimizer"] for _ in range(8)])
PYTHON
proposals() { PYTHONHASHSEED=$2 "$folder/venv/bin/python" -W ignore texts.py "$1" 2> /dev/null | tail -n 1; }
"$folder/venv/bin/pip" list 2> /dev/null | grep neural-pipeline-search
for kind in texts numbers; do
    for hash_seed in 0 1 2 3; do proposals $kind $hash_seed; done > $kind.txt
    echo "$kind, PYTHONHASHSEED=0 to 3, all generators seeded:"
    cat $kind.txt
done
# Seen: the texts differ, the numbers do not. The choices pass through a set, whose order for texts is that of their
# hashes, which Python draws anew for each process. PYTHONHASHSEED has to be set, or numbers given as choices.
[ "$(sort -u texts.txt | wc -l)" -gt 1 ]
[ "$(sort -u numbers.txt | wc -l)" = 1 ]
[ "$(proposals texts 1)" = "$(proposals texts 1)" ]
