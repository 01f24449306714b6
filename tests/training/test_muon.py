"""Muon on kernels and AdamW on the rest behave as one optimizer."""

import copy

import pytest
import torch
from support import composed
from torch import nn

from housenumbers.training.build import build_model, build_optimizer, build_scheduler
from housenumbers.training.muon import MuonAdamW, orthogonalize

CPU = torch.device("cpu")
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # kellerjordan.github.io/posts/muon


def small_model() -> nn.Module:
    torch.manual_seed(0)
    chosen = composed("model=fastnet", "model.channels=[8,8]", "model.convolutions=[1,1]").model
    return build_model(chosen, CPU)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        images = torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
        loss = nn.functional.cross_entropy(model(images), torch.arange(8))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_a_kernels_update_is_nearly_orthogonal_and_the_rest_learns_too() -> None:
    model = small_model()
    before = copy.deepcopy(model.state_dict())
    optimizer = build_optimizer(composed("optimizer=muon", "optimizer.weight_decay=0").optimizer, model, CPU)
    assert isinstance(optimizer, MuonAdamW)
    train(model, optimizer, range(1))
    after = model.state_dict()
    for name, parameter in model.named_parameters():
        assert torch.equal(before[name], after[name]) != parameter.requires_grad, name
    update = (after["stages.0.0.weight"] - before["stages.0.0.weight"]).flatten(1)
    sizes = torch.linalg.svdvals(update)
    assert sizes.max() / sizes.min() < 4, "no direction is much longer than another"


@pytest.mark.parametrize("shape", [(24, 216), (128, 1152), (64, 27), (8, 8)], ids=str)
@pytest.mark.parametrize("steps", [1, 3, 5])
def test_each_singular_value_goes_through_the_iteration(shape: tuple[int, int], steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(2, *shape, generator=generator) * torch.logspace(0, -3, shape[1])
    left, values, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    values = values / values.norm(dim=1, keepdim=True)
    a, b, c = NEWTON_SCHULZ
    for _ in range(steps):
        values = a * values + b * values**3 + c * values**5
    expected = left @ torch.diag_embed(values) @ right
    torch.testing.assert_close(torch.stack(orthogonalize(list(matrices), steps)).double(), expected, rtol=0, atol=1e-3)


def test_rounding_does_not_add_directions_to_a_gradient_of_rank_one() -> None:
    generator = torch.Generator().manual_seed(0)
    [update] = orthogonalize([torch.randn(48, 1, generator=generator) @ torch.randn(1, 216, generator=generator)], 3)
    sizes = torch.linalg.svdvals(update)
    assert 0.6 < sizes[0] < 1.3
    assert sizes[1] < 1e-4, "0.3 in bfloat16"


def test_kernels_of_one_shape_are_updated_as_each_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    weights, gradients = (
        [torch.randn(8, 4, 3, 3, generator=generator).contiguous(memory_format=torch.channels_last) for _ in range(3)]
        for _ in range(2)
    )
    together = [nn.Parameter(weight.clone()) for weight in weights]
    optimizer = MuonAdamW(together)
    for weight, gradient in zip(together[:2], gradients[:2], strict=True):
        weight.grad = gradient
    optimizer.step()
    for weight, gradient in zip(weights[:2], gradients[:2], strict=True):
        alone = nn.Parameter(weight.clone())
        alone.grad = gradient
        MuonAdamW([alone]).step()
        torch.testing.assert_close(alone, together.pop(0))
    assert torch.equal(together[0], weights[2]), "a frozen kernel stays, without weight decay too"


def test_gradients_in_another_memory_format_give_the_same_step() -> None:
    one, other = small_model(), small_model()
    optimizers = [MuonAdamW([p for p in model.parameters() if p.requires_grad]) for model in (one, other)]
    generator = torch.Generator().manual_seed(3)
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        mine.grad = torch.randn(mine.shape, generator=generator)
        theirs.grad = mine.grad.clone()
        if mine.ndim == 4:
            theirs.grad = theirs.grad.contiguous(memory_format=torch.channels_last)
    for optimizer in optimizers:
        optimizer.step()
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_going_on_from_a_saved_state_is_going_on() -> None:
    model = small_model()
    optimizer = MuonAdamW([p for p in model.parameters() if p.requires_grad])
    train(model, optimizer, range(3))
    saved = copy.deepcopy([model.state_dict(), optimizer.state_dict()])
    train(model, optimizer, range(3, 6))
    again = small_model()
    heir = MuonAdamW([p for p in again.parameters() if p.requires_grad])
    again.load_state_dict(saved[0])
    heir.load_state_dict(saved[1])
    train(again, heir, range(3, 6))
    for mine, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_schedulers_and_a_slower_backbone_reach_both() -> None:
    model = small_model()
    config = composed("optimizer=muon", "optimizer.backbone_lr_ratio=0.1", "scheduler=step", "scheduler.step_size=1")
    optimizer = build_optimizer(config.optimizer, model, CPU)
    scheduler, _ = build_scheduler(config.scheduler, optimizer, 3, 1)
    before = copy.deepcopy(model.state_dict())
    train(model, optimizer, range(1))
    first = {name: (value - before[name]).abs().max() for name, value in model.state_dict().items()}
    assert first["head.weight"] > 5 * first["stages.0.1.weight"], "AdamW's first step is its learning rate"
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.001, 0.0001]
    before = copy.deepcopy(model.state_dict())
    train(model, optimizer, range(1, 2))
    second = (model.state_dict()["stages.0.0.weight"] - before["stages.0.0.weight"]).abs().max()
    assert second < first["stages.0.0.weight"] / 5
