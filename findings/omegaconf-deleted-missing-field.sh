#!/usr/bin/env bash
# OmegaConf with Hydra: a field without a default that `~field` deletes becomes the text '???', whatever its type.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet hydra-core==1.4.0rc3 omegaconf==2.4.1rc1
cd "$folder"
cat > deleted.py <<'PYTHON'
from dataclasses import dataclass, field
from importlib.metadata import version

from hydra import compose, initialize
from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue


@dataclass
class Optimizer:
    momentum: float = MISSING


@dataclass
class Job:
    epochs: int = MISSING
    resume: bool = MISSING
    lr: float = 0.1
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(momentum=0.9))


print("omegaconf", version("omegaconf"), "hydra-core", version("hydra-core"))
ConfigStore.instance().store("job", Job)


def settings(*overrides):
    with initialize(config_path=None):
        return compose("job", list(overrides))


# Not given: each way of asking finds it.
config = settings("resume=false")
assert OmegaConf.missing_keys(config) == {"epochs"}
for ask in (OmegaConf.to_object, lambda config: OmegaConf.to_container(config, throw_on_missing=True)):
    try:
        ask(config)
    except MissingMandatoryValue as error:
        print("not given:", str(error).splitlines()[0])
    else:
        raise AssertionError

# Given, and deleted: none does.
config = settings("epochs=30", "resume=false", "~epochs", "~resume")
job = OmegaConf.to_object(config)
print("deleted:", config, "missing:", OmegaConf.missing_keys(config), "object:", job)
assert OmegaConf.missing_keys(config) == set()
assert OmegaConf.to_container(config, throw_on_missing=True) == {"lr": 0.1, "optimizer": {"momentum": 0.9}}
assert type(job) is Job and job.epochs == "???" and job.resume == "???" and bool(job.resume)

# The same without Hydra, also in a nested object. (Hydra refuses `~optimizer.momentum`, since that is not open.)
config = OmegaConf.structured(Job(epochs=30, resume=False))
with open_dict(config):
    del config.optimizer.momentum
print("nested:", OmegaConf.to_object(config))
assert OmegaConf.to_object(config).optimizer.momentum == "???"
# Seen: MISSING is the text '???', the dataclass's real default. to_object passes the keys that the configuration has to
# the class, and looks for '???' among these only; for a deleted key Python fills in the default. So an int field holds
# a text, and the bool that was given as false is true in an `if`.
PYTHON
"$folder/venv/bin/python" -W ignore deleted.py
