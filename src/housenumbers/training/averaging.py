"""Averages of the weights over the run, which are often better than the weights of any single step."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from housenumbers.config.schema import TrainConfig
from housenumbers.config.sections import AveragingConfig
from housenumbers.data.batches import training_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.training.transfer import train_mode

_IMAGES_FOR_STATISTICS = 5000  # enough for a batch norm's mean and variance


class WeightAverage:
    """The average of the tensors of a model that change in training: trainable parameters and buffers.

    `ema` is an exponential moving average over the steps (Polyak and Juditsky 1992; Tarvainen and Valpola 2017,
    arXiv:1703.01780), `swa` the mean of the weights at the end of each epoch (Izmailov et al. 2018, arXiv:1803.05407).
    torch's AveragedModel would also copy frozen layers, and would average integers such as the size of images. So this
    class uses only the formulas of torch.optim.swa_utils.
    """

    def __init__(self, model: nn.Module, config: AveragingConfig, epochs: int) -> None:
        self._is_swa = config.method == "swa"
        self._start = round(config.start * epochs, 9)  # in floating point, 0.29 * 100 < 29
        self._average = get_swa_multi_avg_fn() if self._is_swa else get_ema_multi_avg_fn(config.decay)
        frozen = {name for name, weight in model.named_parameters(remove_duplicate=False) if not weight.requires_grad}
        self._norms = {
            name for name, module in train_mode(model).named_modules()
            if isinstance(module, _BatchNorm) and module.training
        }  # fmt: skip
        # These share the memory of the model's tensors, which optimizers change in place.
        self._current = {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}
        self._count = 0
        self.tensors: dict[str, Tensor] = {}  # by their names in the model; empty before the start

    def update(self, epochs_done: float) -> None:
        """Adds the model's weights after a step to the average, if the step counts."""
        if epochs_done <= self._start or (self._is_swa and not epochs_done.is_integer()):
            return
        if self._count == 0:
            self.tensors = {name: tensor.clone() for name, tensor in self._current.items()}
        else:
            real = [name for name, tensor in self._current.items() if tensor.is_floating_point()]
            self._average([self.tensors[name] for name in real], [self._current[name] for name in real], self._count)
            for name in self._current.keys() - set(real):
                self.tensors[name].copy_(self._current[name])
        self._count += 1

    @contextmanager
    def swapped_in(self, network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[None]:
        """Replaces the model's weights by the average inside the block, then restores them bit for bit.

        Means of distant weights lead to activations that no batch norm has seen. So `swa` recomputes the statistics
        from training `batches` that run through the `network`, the model or the trained part of it. The weights in
        `ema` are close together: the average of the statistics is good enough, and costs nothing.
        """
        original = {name: self._current[name].clone() for name in self.tensors}
        self._put(self.tensors)
        if self._is_swa and self.tensors:
            _recompute_statistics(network, self._norms, batches)
            self.tensors = {name: tensor.clone() for name, tensor in self._current.items()}
        try:
            yield
        finally:
            self._put(original)

    def _put(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self._current[name].copy_(tensor)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self._count, "tensors": self.tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._count, self.tensors = state["count"], state["tensors"]


def averaged_weights(
    config: TrainConfig, average: WeightAverage | None, network: nn.Module, train: LabeledImages, epoch: int
) -> AbstractContextManager[None]:
    """Inside the block, the model, and with it the `network`, has the average of its weights, if there is one."""
    if average is None:
        return nullcontext()
    return average.swapped_in(
        network, training_batches(train, config.data.batch_size, config.augment, config.seed, epoch)
    )


@torch.no_grad()
def _recompute_statistics(network: nn.Module, names: set[str], batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Recomputes the mean and variance of the batch norms with these `names` over some training images.

    torch.optim.swa_utils.update_bn would also update frozen layers, and would use all images.
    """
    norms = [
        norm for name, norm in train_mode(network).named_modules() if name in names and isinstance(norm, _BatchNorm)
    ]
    if not norms:
        return
    for norm in norms:
        norm.train()  # a norm that was frozen during the run has averaged weights too
    momenta = [norm.momentum for norm in norms]
    seen = 0
    for number, (images, _) in enumerate(batches, start=1):
        for norm in norms:
            norm.momentum = 1 / number  # so that its statistics are means over the batches so far
        network(images.contiguous(memory_format=torch.channels_last))
        seen += len(images)
        if seen >= _IMAGES_FOR_STATISTICS:
            break
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
