#!/usr/bin/env bash
# torch: making the first optimizer imports torch.compile's compiler, hundreds of modules, although nothing is compiled.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys
import time

import torch

net = torch.nn.Linear(2, 1)
loss = net(torch.ones(3, 2)).square().mean()
loss.backward()
before = set(sys.modules)
print("torch", torch.__version__, "with", len(before), "modules after a forward and a backward pass")
assert not {"torch._dynamo", "sympy"} & before

started = time.perf_counter()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
first = time.perf_counter() - started
new = set(sys.modules) - before
started = time.perf_counter()
torch.optim.SGD(net.parameters(), lr=0.1)
second = time.perf_counter() - started
print(f"the first SGD: {len(new)} modules more, {first:.2f} s; the second: {second * 1000:.2f} ms")
# Seen: Optimizer.add_param_group is wrapped so that torch.compile leaves it alone, and the wrapper imports
# torch._dynamo, with torch.distributed's FSDP and sympy, when it is first called: in each process, so in each worker of
# a search, and inside the first timed step where the optimizer is made late.
assert {"torch._dynamo", "torch.distributed.fsdp", "sympy"} <= new
assert len(new) > 500
assert first > 50 * second
optimizer.step()
PYTHON
