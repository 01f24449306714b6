"""Goes on with a run in Python, and the lock that all trainings in this process take."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch

from housenumbers.api.arguments import as_overrides
from housenumbers.reports.after_training import page_after_resume
from housenumbers.runs.resume import resume as resume_run
from housenumbers.runtime.errors import os_errors_as_user_errors
from housenumbers.runtime.signals import sigint_as_keyboard_interrupt
from housenumbers.training.reproducibility import float32_by_default

# Hydra, the generators of random numbers and PyTorch's settings belong to the whole process, so threads take turns.
ONE_AT_A_TIME = threading.RLock()


@os_errors_as_user_errors()
def resume(folder: Path, overrides: Sequence[str]) -> None:
    """Goes on with a run. Raises UserError where that is not possible, and InputError for anything but words."""
    overrides = as_overrides(overrides)
    with one_training_at_a_time(), sigint_as_keyboard_interrupt():
        resume_run(folder, overrides)
        page_after_resume(folder)


@contextmanager
def one_training_at_a_time() -> Iterator[None]:
    """With gradients, in float32 and without autocast, whatever the calling program has set."""
    with (
        ONE_AT_A_TIME, torch.inference_mode(False), torch.enable_grad(), float32_by_default(), ExitStack() as stack,
    ):  # fmt: skip
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield
