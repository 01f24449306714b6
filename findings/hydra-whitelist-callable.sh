#!/usr/bin/env bash
# hydra-core: a target that _execution_whitelist_ names exactly is refused, if the object that it makes can be called.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet hydra-core==1.4.0rc3 optuna==5.0.0
cd "$folder"
cat > whitelist.py <<'PYTHON'
from importlib.metadata import version

from hydra.errors import InstantiationException
from hydra.utils import instantiate

SAMPLER = {"_target_": "optuna.samplers.TPESampler"}  # defined in optuna.samplers._tpe.sampler
CALLBACK = {"_target_": "optuna.study.MaxTrialsCallback", "n_trials": 3}  # defined in optuna._callbacks, has __call__
DEFINED = "optuna._callbacks.MaxTrialsCallback"


def outcome(option, *allowed):
    try:
        result = type(instantiate(option, _execution_whitelist_=allowed)).__name__
    except InstantiationException as error:
        result = str(error).splitlines()[0]
    print(" and ".join(allowed), "->", result)
    return result


print("hydra-core", version("hydra-core"), "optuna", version("optuna"))
# The documented name of a class is enough for one whose instances cannot be called, wherever it is defined ...
assert outcome(SAMPLER, SAMPLER["_target_"]) == "TPESampler"
# ... and not for one with __call__: its result is authorized once more, by the name of the module that defines it. Each
# of the two messages asks for the other name.
assert outcome(CALLBACK, CALLBACK["_target_"]) == f"Target '{DEFINED}' is not in the Hydra execution whitelist."
assert outcome(CALLBACK, DEFINED) == f"Target '{CALLBACK['_target_']}' is not in the Hydra execution whitelist."
assert outcome(CALLBACK, CALLBACK["_target_"], DEFINED) == "MaxTrialsCallback"
# So it is with every torch.nn.Module: torch.nn.Linear needs torch.nn.modules.linear.Linear as well (torch 2.14.1), and
# torchvision.models.resnet18, a function, needs torchvision.models.resnet.ResNet.
PYTHON
"$folder/venv/bin/python" -W ignore whitelist.py
