"""Builds the model, the optimizer and the scheduler of a configuration. Calls only allowed targets."""

import copy
import inspect
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from housenumbers.config.targets import instantiate_target
from housenumbers.config.values import option_dict
from housenumbers.metrics.tasks import are_probabilities, is_shape_of_logits
from housenumbers.runtime.errors import UserError
from housenumbers.runtime.text import plural
from housenumbers.training.torch_options import check_torch_options

Made = TypeVar("Made")

# Options of torch's schedulers that are learning rates. Each may be a list with a rate for each parameter group.
_RATES = ("base_lr", "max_lr", "min_lr", "swa_lr")


def build_model(option: Any, device: torch.device) -> nn.Module:
    """The model of a configuration, or of a checkpoint's copy of it, on `device` and in channels_last format.

    Raises UserError where its target is not allowed, or does not accept these options.
    """
    arguments = option_dict(option)
    for key in ("name", "pretrained", "freeze"):
        arguments.pop(key, None)
    model = _instantiate("model", arguments, nn.Module)
    if any(map(is_lazy, (*model.parameters(), *model.buffers()))):
        raise UserError(
            f"model: {arguments['_target_']}: has a lazy layer, such as nn.LazyLinear, whose weights have no shape: "
            "give the layer its number of inputs, as in nn.Linear(128, 10)"
        )
    return model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def build_optimizer(option: Any, model: nn.Module, device: torch.device) -> Optimizer:
    """The optimizer over the model's trainable parameters, fused into one kernel where torch supports that.

    If the backbone has another learning rate than the head, the head is the first parameter group.
    Raises UserError where its target is not allowed, does not accept these options, or needs the loss itself.
    """
    arguments = option_dict(option)
    check_torch_options("optimizer", arguments)
    ratio = arguments.pop("backbone_lr_ratio", 1.0)
    module, _, name = str(arguments["_target_"]).rpartition(".")
    target = getattr(torch.optim, name, None) if module.startswith("torch.optim") else None
    fusible = isinstance(target, type) and "fused" in inspect.signature(target).parameters
    more: dict[str, Any] = {}
    if fusible and device.type in ("cpu", "cuda") and "fused" not in arguments:
        more["fused"] = not arguments.get("foreach")
    params: list[Any] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if ratio != 1:
        if "lr" not in arguments:
            raise UserError(f"optimizer.backbone_lr_ratio={ratio}: is a fraction of optimizer.lr: set that, too")
        head = {id(parameter) for parameter in classifier_head(model).parameters()}
        groups = [[p for p in params if id(p) in head], [p for p in params if id(p) not in head]]
        params = [{"params": groups[0]}, {"params": groups[1], "lr": ratio * arguments["lr"]}]
    optimizer = _instantiate("optimizer", arguments, Optimizer, params=params, **more)
    if isinstance(optimizer, torch.optim.LBFGS):
        raise UserError("optimizer: LBFGS needs a closure, which the loop does not pass: choose another optimizer")
    return optimizer


def check_output(model: nn.Module, target: str, images: Tensor, labels: Tensor) -> None:
    """Raises UserError where a model of the user's own does not return logits for images `[N, 3, H, W]`.

    Probabilities are no logits. Logits must be `[N, 10]` where labels are classes, and `[N, T, 11]`, for CTC with the
    blank last, where they are numbers.
    """
    if target.startswith("housenumbers."):
        return
    trial = copy.deepcopy(model)  # since batch norms update their statistics
    with torch.inference_mode():
        output = trial.eval()(images)
    _check_is_logits(output, target, images, labels, "")
    if are_probabilities(output):
        raise UserError(f"model: {target}: returns probabilities: must be logits: leave out the softmax")
    cuda = [images.device] if images.is_cuda else []
    with torch.no_grad(), torch.random.fork_rng(cuda):  # dropout draws random numbers
        _check_is_logits(trial.train()(images), target, images, labels, " in training mode")


def _check_is_logits(output: Any, target: str, images: Tensor, labels: Tensor, mode: str) -> None:
    if not isinstance(output, Tensor) or not is_shape_of_logits(output.shape, labels):
        wanted = "[N, 10]" if labels.ndim == 1 else "[N, T, 11], for CTC"
        what = list(output.shape) if isinstance(output, Tensor) else f"a {type(output).__name__}"
        raise UserError(
            f"model: {target}: returns {what} for images {list(images.shape)}{mode}: must be logits {wanted}"
        )


def parameter_count(model: nn.Module) -> int:
    """The number of parameters, including frozen ones, of a model before its batch norms are folded."""
    return sum(parameter.numel() for parameter in model.parameters())


def classifier_head(model: nn.Module) -> nn.Module:
    """The model's last layer. Raises UserError where the model does not name it."""
    head = getattr(model, "head", None)
    if not isinstance(head, nn.Module):
        raise UserError(f"model: {type(model).__name__} has no `head`, its last layer, which transfer learning needs")
    return head


def build_scheduler(option: Any, optimizer: Optimizer, epochs: int, steps_per_epoch: int) -> tuple[LRScheduler, str]:
    """The scheduler, and whether it steps after each "epoch", "batch", or "validation", whose loss it receives.

    `T_max` or `total_steps` of null becomes the length of the run: in batches with "batch", else in epochs.
    Raises UserError where its target is not allowed, or does not accept these options.
    """
    arguments = option_dict(option)
    interval = arguments.pop("interval", "epoch")
    arguments.pop("warmup_epochs", None)
    if arguments.get("last_epoch", -1) != -1:
        raise UserError(f"scheduler.last_epoch={arguments['last_epoch']}: is set by the run itself: leave it out")
    intervals = epochs * (steps_per_epoch if interval == "batch" else 1)
    for key in ("T_max", "total_steps"):
        if key in arguments and arguments[key] is None:
            arguments[key] = intervals
    check_torch_options("scheduler", arguments)
    arguments = _with_rates_of_groups(arguments, optimizer)
    if arguments.get("total_steps", intervals) < intervals:
        raise UserError(
            f"scheduler.total_steps={arguments['total_steps']}: this run has {intervals}: null means all of them"
        )
    too_few = f"scheduler: {plural(intervals, 'step')}, too few for scheduler.pct_start={arguments.get('pct_start')}: "
    if "pct_start" in arguments and arguments.get("total_steps") == 1:  # torch takes the last learning rate, near 0
        raise UserError(f"{too_few}raise epochs, or scheduler.interval=batch")
    try:
        scheduler = _instantiate("scheduler", arguments, LRScheduler, optimizer=optimizer)
    except ZeroDivisionError:
        if "pct_start" not in arguments:
            raise UserError(f"scheduler: {arguments['_target_']}: divides by zero with these values") from None
        raise UserError(f"{too_few}raise it, or epochs") from None
    return scheduler, "validation" if isinstance(scheduler, ReduceLROnPlateau) else interval


def _with_rates_of_groups(arguments: dict[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """The scheduler's options, with the learning rates among them in the ratio that the parameter groups have.

    Raises UserError for a rate of which torch's scheduler takes only one for all groups.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    if len(rates) == 1:
        return arguments
    is_of_torch = str(arguments["_target_"]).startswith("torch.optim.")
    if is_of_torch and arguments.get("eta_min"):
        raise UserError(
            f"scheduler.eta_min={arguments['eta_min']}: is one learning rate for all layers, which "
            "optimizer.backbone_lr_ratio would not scale: set it to 0, or the ratio to 1"
        )
    lists = {
        key: [arguments[key] * rate / rates[0] for rate in rates]
        for key in (_RATES if is_of_torch else ("max_lr",))
        if isinstance(arguments.get(key), int | float) and arguments[key]
    }
    return arguments | lists


def _instantiate(group: str, arguments: dict[str, Any], kind: type[Made], **more: Any) -> Made:
    built = instantiate_target(group, arguments, **more)
    if not isinstance(built, kind):
        raise UserError(
            f"{group}: {arguments['_target_']}: returns a {type(built).__name__}, not a {kind.__name__}: "
            "name another target"
        )
    return built
