#!/usr/bin/env bash
# torch: torch.save of equal content to files of different names writes different bytes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import io
import zipfile
from pathlib import Path

import torch

content = {"weight": torch.ones(3)}
hashes = {}
for name in ("best.pt", "last.pt", "copy/best.pt"):
    Path(name).parent.mkdir(exist_ok=True)
    torch.save(content, name)
    hashes[name] = hashlib.sha256(Path(name).read_bytes()).hexdigest()[:12]
buffer = io.BytesIO()
torch.save(content, buffer)
hashes["a buffer"] = hashlib.sha256(buffer.getvalue()).hexdigest()[:12]
print("torch", torch.__version__)
for name, digest in hashes.items():
    print(f"{name}: {digest}")
folders = {name: zipfile.ZipFile(name).namelist()[0].split("/")[0] for name in ("best.pt", "last.pt")}
print("the folder inside the archive:", folders)
# Seen: the archive's inner folder is named after the file, so the hash of a checkpoint's file depends on its name, and
# a renamed copy differs from one that was saved under that name. Saved through a buffer it is always "archive".
assert folders == {"best.pt": "best", "last.pt": "last"}
assert hashes["best.pt"] == hashes["copy/best.pt"]
assert len(set(hashes.values())) == 3
PYTHON
