#!/usr/bin/env bash
# torch: vector_to_parameters does not copy the vector, so that training changes it, and with it other models.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

torch.manual_seed(0)
images, labels = torch.randn(64, 20), torch.randint(0, 10, (64,))


def network():
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10))


def loss(model):
    return nn.functional.cross_entropy(model(images), labels)


def train(model, steps=50):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model).backward()
        optimizer.step()
    return round(loss(model).item(), 3)


print("torch", torch.__version__, "-", vector_to_parameters.__doc__.strip().splitlines()[0])
# Three runs from the same weights: all should end with the same loss.
initial = parameters_to_vector(network().parameters()).detach()
kept = initial.clone()
shared, copied = [], []
for _ in range(3):
    model = network()
    vector_to_parameters(initial, model.parameters())
    shared.append((round(loss(model).item(), 3), train(model)))
for _ in range(3):
    model = network()
    vector_to_parameters(kept.clone(), model.parameters())
    copied.append((round(loss(model).item(), 3), train(model)))
print("loss before and after each of three runs from one vector:", shared)
print("with vector.clone():", copied)

# Two models with the same vector are one model from then on.
first, second = network(), network()
vector = kept.clone()
vector_to_parameters(vector, first.parameters())
vector_to_parameters(vector, second.parameters())
before = loss(second).item()
train(first)
print(f"loss of the second model before and after the training of the first: {before:.3f}, {loss(second).item():.3f}")

# Saved as a vector, trained on, restored: the weights stay the trained ones.
model = network()
vector_to_parameters(kept.clone(), model.parameters())
train(model, 10)
best = parameters_to_vector(model.parameters()).detach()  # a copy
vector_to_parameters(best, model.parameters())  # from here on it is none
value = loss(model).item()
train(model, 10)
vector_to_parameters(best, model.parameters())
print(f"loss of the saved weights {value:.3f}, of the restored ones {loss(model).item():.3f}")
# Seen: each run starts where the one before it ended, the second model is trained along with the first, and the saved
# weights are lost. The parameters become views of the vector, although the documentation says "copy slices".
assert [run[0] for run in copied] == [copied[0][0]] * 3 and [run[1] for run in copied] == [copied[0][1]] * 3
assert shared[0] == copied[0]
assert shared[1][0] == shared[0][1] and shared[2][0] == shared[1][1] and shared[2][1] < shared[1][1] < shared[0][1]
assert loss(second).item() == loss(first).item() < before - 0.5
assert loss(model).item() < value - 0.05
assert not torch.equal(initial, kept)
PYTHON
