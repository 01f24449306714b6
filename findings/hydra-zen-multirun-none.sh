#!/usr/bin/env bash
# hydra-zen: None among several values of a multirun becomes the text "None", which is true; alone it stays None.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet hydra-zen==0.17.2 hydra-core==1.3.8 omegaconf==2.3.1
cd "$folder"
OMP_NUM_THREADS=1 "$folder/venv/bin/python" - <<'PYTHON'
import os
import tempfile
from importlib.metadata import version
from typing import Optional

from hydra_zen import builds, hydra_list, instantiate, launch, multirun

os.chdir(tempfile.mkdtemp())
print("hydra-zen", version("hydra-zen"), "hydra-core", version("hydra-core"))
seen = []


def train(weights: Optional[str] = "imagenet", layers: Optional[list] = None):
    seen.append(weights if layers is None else list(layers))


def run(several, overrides):
    seen.clear()
    launch(builds(train, populate_full_signature=True), instantiate, overrides, multirun=several, version_base="1.3")
    print("multirun" if several else "run     ", overrides, "->", seen)
    return list(seen)


assert run(False, {"weights": None}) == [None]
assert run(True, {"weights": None}) == [None]
assert run(True, ["weights=null,imagenet"]) == [None, "imagenet"]  # as on Hydra's command line
assert run(True, {"weights": multirun([None, "imagenet"])}) == ["None", "imagenet"]  # the text
assert run(False, {"layers": hydra_list([None, 2])}) == [["None", 2]]
assert run(True, {"weights": multirun(["resnet18,resnet34", "vgg"])}) == ["resnet18", "resnet34", "vgg"]  # three jobs
# Seen: the job of multirun([None, "imagenet"]) gets the text. Only a value at the top level becomes Hydra's null; those
# in multirun and hydra_list, whose type hints allow None, are written with str. So a text with a comma is two jobs.
PYTHON
