"""Custom metrics of whole splits: the targets in `config.metrics`, called with logits and labels."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from housenumbers.config.targets import failure_message, instantiate_target
from housenumbers.runtime.errors import UserError


def custom_metrics(metrics: Mapping[str, Any], logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """The value of each of the `metrics`, by its name, for logits `[N, 10]` and labels `[N]`. Null where not finite.

    Each metric is instantiated anew, so that a metric with state, as in torchmetrics, starts empty.
    Raises UserError where one cannot be instantiated, fails, or does not return a number.
    """
    values: dict[str, float | None] = {}
    for name, option in metrics.items():
        metric = instantiate_target(f"metrics.{name}", option)
        try:
            result = metric(logits.clone(), labels.clone())
        except Exception as error:
            call = f"called with logits {list(logits.shape)} and labels {list(labels.shape)}"
            raise UserError(failure_message(f"metrics.{name}", error, call)) from None
        try:
            value = float("no number" if isinstance(result, str | bytes) else result)  # float() would read texts
        except (TypeError, ValueError, RuntimeError):
            what = f"a tensor {list(result.shape)}" if isinstance(result, Tensor) else f"a {type(result).__name__}"
            raise UserError(f"metrics.{name}: returns {what}: must be a number") from None
        values[name] = value if math.isfinite(value) else None
    return values
