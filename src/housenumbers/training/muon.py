"""Muon for convolutions and AdamW for all other parameters, as one optimizer."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

# Of the Newton-Schulz iteration: the slope at zero is as large as possible (Jordan et al. 2024).
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_EPSILON = 1e-7


class MuonAdamW(Optimizer):
    """Muon on convolution kernels as matrices (output channels by the rest), AdamW on other parameters.

    Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) orthogonalizes the update of a matrix. It is scaled
    to the size of an AdamW update (Liu et al. 2025, arXiv:2502.16982), so that one learning rate serves both.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        weight_decay: float = 0.0,
        momentum: float = 0.9,
        ns_steps: int = 3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._kernels = [[weight for weight in group["params"] if weight.ndim == 4] for group in self.param_groups]
        others = [[weight for weight in group["params"] if weight.ndim != 4] for group in self.param_groups]
        # torch.optim.Muon accepts only matrices, so it receives views of the kernels, which share their memory.
        views = [[_channels_last(weight.data).view(len(weight), -1) for weight in kernels] for kernels in self._kernels]
        self._matrices = [[nn.Parameter(view) for view in group] for group in views]
        self._muon = _Float32Muon(
            [{"params": matrices} for matrices in self._matrices],
            lr, weight_decay, momentum, ns_steps=ns_steps, adjust_lr_fn="match_rms_adamw",
        )  # fmt: skip
        fused = all(weight.device.type in ("cpu", "cuda") for weights in others for weight in weights)
        self._adamw = AdamW([{"params": weights} for weights in others], lr, betas, eps, weight_decay, fused=fused)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of both. Takes no closure."""
        assert closure is None
        for group, kernels, matrices, by_muon, by_adamw in zip(
            self.param_groups, self._kernels, self._matrices, self._muon.param_groups, self._adamw.param_groups,
            strict=True,
        ):  # fmt: skip
            by_muon["lr"] = by_adamw["lr"] = group["lr"]  # a scheduler changes only our groups
            by_muon["momentum"] = group["momentum"]
            for kernel, matrix in zip(kernels, matrices, strict=True):
                matrix.grad = None if kernel.grad is None else _channels_last(kernel.grad).reshape(matrix.shape)
        self._muon.step()
        self._adamw.step()

    def state_dict(self) -> dict[str, Any]:
        return {"groups": super().state_dict(), "muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict["groups"])
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])


class _Float32Muon(torch.optim.Muon):
    """torch.optim.Muon with another step: in float32, with fewer and larger products.

    torch computes updates in bfloat16 for any type of weights. A CPU without instructions for it emulates them, 30
    times slower, and their rounding errors become updates where gradients have a low rank.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            if not matrices:
                continue
            gradients = [matrix.grad for matrix in matrices]
            for matrix in matrices:
                if "momentum_buffer" not in self.state[matrix]:
                    self.state[matrix]["momentum_buffer"] = torch.zeros_like(matrix)
            averages = [self.state[matrix]["momentum_buffer"] for matrix in matrices]
            torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, averages, group["momentum"])  # Nesterov
            torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
            for matrix, update in zip(matrices, orthogonalize(updates, group["ns_steps"]), strict=True):
                matrix.add_(update, alpha=-group["lr"] * 0.2 * math.sqrt(max(matrix.shape)))


def orthogonalize(matrices: Sequence[Tensor], steps: int) -> list[Tensor]:
    """Replaces the singular values of each matrix `[M, N]` by values near 1, with `steps` Newton-Schulz iterations.

    An iteration maps X to (a + b G + c G^2) X, where G = X X^T. All these factors are polynomials of the first G, so
    they commute: their product is computed from G alone, which is small, and multiplied with X at the end.
    """
    wide = [matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT for matrix in matrices]
    wide = [matrix / matrix.norm().clamp(min=_EPSILON) for matrix in wide]  # no singular value above 1
    by_size = defaultdict(list)  # indices of matrices whose G have one size, for one call for all of them
    for index, matrix in enumerate(wide):
        by_size[len(matrix)].append(index)
    results = list(wide)
    for indices in by_size.values():
        grams = torch.stack([torch.mm(wide[index], wide[index].mT) for index in indices])
        for index, factor in zip(indices, _newton_schulz_factor(grams, steps), strict=True):
            results[index] = torch.mm(factor, wide[index])
    return [
        result if result.shape == matrix.shape else result.mT for result, matrix in zip(results, matrices, strict=True)
    ]


def _newton_schulz_factor(grams: Tensor, steps: int) -> Tensor:
    """The product of the iterations' factors, `[B, M, M]`, for each G."""
    a, b, c = _COEFFICIENTS
    product = None
    for step in range(steps):
        factor = torch.baddbmm(grams, grams, grams, beta=b, alpha=c)
        factor.diagonal(dim1=1, dim2=2).add_(a)
        product = factor if product is None else torch.bmm(factor, product)
        if step < steps - 1:
            grams = torch.bmm(torch.bmm(factor, grams), factor)
    assert product is not None
    return product


def _channels_last(kernel: Tensor) -> Tensor:
    """A kernel `[O, I, H, W]` as `[O, H, W, I]`: its memory order in a model in channels_last format."""
    return kernel.permute(0, 2, 3, 1)
