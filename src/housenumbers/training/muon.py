"""Muon for convolutions and AdamW for all other parameters, as one optimizer."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer


class MuonAdamW(Optimizer):
    """torch.optim.Muon on convolution kernels as matrices (output channels by the rest), AdamW on other parameters.

    Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) orthogonalizes the update of a matrix. It is scaled
    to the size of an AdamW update (Liu et al. 2025, arXiv:2502.16982), so that one learning rate serves both.
    torch.optim.Muon accepts only matrices, so it receives views of the kernels, which share their memory.
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
        views = [[_by_place(weight.data).view(len(weight), -1) for weight in kernels] for kernels in self._kernels]
        self._matrices = [[nn.Parameter(view) for view in group] for group in views]
        self._muon = torch.optim.Muon(
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
                matrix.grad = None if kernel.grad is None else _by_place(kernel.grad).reshape(matrix.shape)
        self._muon.step()
        self._adamw.step()

    def state_dict(self) -> dict[str, Any]:
        return {"groups": super().state_dict(), "muon": self._muon.state_dict(), "adamw": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict["groups"])
        self._muon.load_state_dict(state_dict["muon"])
        self._adamw.load_state_dict(state_dict["adamw"])


def _by_place(kernel: Tensor) -> Tensor:
    """A kernel `[O, I, H, W]` as `[O, H, W, I]`: its memory order in a model in channels_last format."""
    return kernel.permute(0, 2, 3, 1)
