"""housenumbers: reproducible recognition of street-view house-number digits (SVHN).

The Python interface, described in docs/python.md. Importing this package imports neither torch nor NumPy: that happens
when one of these names is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from housenumbers.api.model import Model, load_model
    from housenumbers.api.run import Run, list_runs, open_run
    from housenumbers.api.train import compose, train
    from housenumbers.prediction.predict_files import Prediction
    from housenumbers.prediction.read_numbers import Reading
    from housenumbers.runtime.errors import InputError, UserError

__version__ = "1.0.0"

_HOMES = {
    "Model": "api.model",
    "load_model": "api.model",
    "Run": "api.run",
    "list_runs": "api.run",
    "open_run": "api.run",
    "compose": "api.train",
    "train": "api.train",
    "Prediction": "prediction.predict_files",
    "Reading": "prediction.read_numbers",
    "InputError": "runtime.errors",
    "UserError": "runtime.errors",
}
__all__ = [
    "InputError", "Model", "Prediction", "Reading", "Run", "UserError", "compose", "list_runs", "load_model",
    "open_run", "train",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
