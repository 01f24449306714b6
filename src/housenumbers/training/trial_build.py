"""Builds the model, the optimizer and so on before a run makes its folder, to find options that their code rejects."""

import torch
from torch.optim import Optimizer

from housenumbers.config.messages import one_line
from housenumbers.config.schema import TrainConfig
from housenumbers.config.targets import instantiate_target
from housenumbers.config.values import option_dict
from housenumbers.data.augment import build_transforms
from housenumbers.metrics.classes import CLASSES
from housenumbers.runtime.device import choose_device
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.memory import is_out_of_memory, one_line_memory_errors
from housenumbers.training.build import build_model
from housenumbers.training.custom_metrics import custom_metrics
from housenumbers.training.loop import TrainingState
from housenumbers.training.schedules import scaled_learning_rates, step_scheduler
from housenumbers.training.transfer import load_pretrained

_MAX_STEPS = 1000  # of the scheduler
_METRIC_IMAGES = 200


def check_buildable(config: TrainConfig) -> None:
    """Raises UserError where the model, optimizer, scheduler, transforms or metrics reject their options.

    Also raises it where the pretrained weights are damaged, or do not fit the model: loading them is the only check.
    Metrics of classes are called with random logits. The optimizer makes one step with zero gradients, and the
    scheduler one step per epoch, since some options fail only there. Draws from torch's random generator.
    """
    build_transforms(config.augment)
    _check_metrics(config)
    with one_line_memory_errors():
        device = choose_device(config.device)
        state = TrainingState.initial(config, _steps_per_epoch(config), device)
        for parameter in state.model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        with scaled_learning_rates(state.optimizer, 1.0):  # checks them
            _step(state.optimizer)
    loss = (1.0,) if state.interval == "validation" else ()
    for _ in range(min(config.epochs, _MAX_STEPS)):
        with scaled_learning_rates(state.optimizer, 1.0):
            pass
        step_scheduler(state.scheduler, *loss)
    state.optimizer.zero_grad()
    state.state_dict()


def check_pretrained(config: TrainConfig) -> None:
    """Raises UserError where the pretrained weights are damaged, or do not fit the model. Uses the CPU alone."""
    with one_line_memory_errors():
        model = build_model(config.model, torch.device("cpu"))
        options = option_dict(config.model)
        load_pretrained(model, options.get("pretrained", False), options)


def _check_metrics(config: TrainConfig) -> None:
    """Raises UserError where a metric cannot be instantiated, or fails, or returns no number."""
    if config.data.has_numbers:  # the model determines the shape of the logits
        for name, option in config.metrics.items():
            instantiate_target(f"metrics.{name}", option)
        return
    labels = torch.arange(_METRIC_IMAGES) % CLASSES
    custom_metrics(config.metrics, torch.randn(len(labels), CLASSES), labels)


def _steps_per_epoch(config: TrainConfig) -> int:
    """The steps per epoch to try the scheduler with. The real number is unknown, since no data are loaded yet.

    If the scheduler's options are valid for any number of steps, they are valid for this one.
    """
    total_steps = option_dict(config.scheduler).get("total_steps")
    return 1000 if total_steps is None else max(1, total_steps // config.epochs)


def _step(optimizer: Optimizer) -> None:
    """Raises UserError where the optimizer needs a closure, or is one of torch and does not step with its options."""
    name = type(optimizer).__name__
    try:
        optimizer.step()
    except (RuntimeError, TypeError, ValueError, ArithmeticError, AssertionError) as error:
        if isinstance(error, TypeError) and "closure" in str(error):
            raise UserError(
                f"optimizer: {name}: its step needs a closure, which the loop does not pass: choose another"
            ) from None
        if is_out_of_memory(error) or not torch.typename(optimizer).startswith("torch.optim."):
            raise
        raise UserError(f"optimizer: {name}: {one_line(error)}: give it other options") from None
