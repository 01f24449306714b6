"""Prediction from as many views of an image as its label needs."""

import copy
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import as_if_it_had_learnt, blurred, sure
from support import TINY, composed
from torch import Tensor, nn

from housenumbers.evaluation.few_views import (
    StoppingRule,
    choose_rule,
    predict_with_few_views,
    stops,
    view_order,
)
from housenumbers.evaluation.score import recalibrate
from housenumbers.evaluation.trained_model import load_trained_model
from housenumbers.metrics import views as views_module  # pytest would collect test_time_views
from housenumbers.runtime.errors import UserError
from housenumbers.training.build import build_model
from housenumbers.training.checkpoint import load_checkpoint, save_checkpoint


class Counting(nn.Module):
    """A network that counts the images that go through it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.images = model, 0

    def forward(self, images: Tensor) -> Tensor:
        self.images += len(images)
        return self.model(images)


@pytest.fixture(scope="module")
def network() -> Counting:
    torch.manual_seed(0)
    model = build_model(composed(*TINY).model, torch.device("cpu"))
    return Counting(sure(model, blurred(300)))


def all_logits(network: nn.Module, images: Tensor, shift: int, invert: bool) -> tuple[Tensor, Tensor]:
    mean, _, views = views_module.predict_views(network, [(images, torch.zeros(len(images)))], shift, invert)
    return mean, views


@pytest.mark.parametrize(("shift", "invert"), [(1, True), (2, False), (0, True)])
def test_labels_are_those_of_all_views_from_fewer_of_them(network: Counting, shift: int, invert: bool) -> None:
    images = blurred(300)
    mean, views = all_logits(network, images, shift, invert)
    rule = choose_rule(views, shift, invert, "validation")
    assert rule is not None
    network.images = 0
    logits = predict_with_few_views(network, images, rule)
    assert torch.equal(logits.argmax(dim=1), mean.argmax(dim=1))
    assert 300 <= network.images <= 300 * len(views)


def test_without_a_limit_all_images_get_one_view_and_with_a_high_one_all_views(network: Counting) -> None:
    images = blurred(40)
    mean, views = all_logits(network, images, 1, True)
    rule = StoppingRule(1, True, 0.0, [0.5, 1.0, 1.0], 40, "validation")
    network.images = 0
    torch.testing.assert_close(predict_with_few_views(network, images, rule), views[0] / 2)
    assert network.images == 40
    network.images = 0
    torch.testing.assert_close(predict_with_few_views(network, images, replace(rule, threshold=1e9)), mean)
    assert network.images == 400


def threshold_far_from_every_margin(views: Tensor) -> float:
    """One that about half the images exceed, and that no rounding moves an image across, at any of the stops."""
    means = [(stop, views[view_order(len(views))[:stop]].mean(dim=0)) for stop in stops(len(views))]
    factors = [math.sqrt((1 / stop - 1 / len(views)) / (1 - 1 / len(views))) for stop, _ in means]
    margins = [
        mean.topk(2, dim=1).values.diff(dim=1).abs() / factor for (_, mean), factor in zip(means, factors, strict=True)
    ]
    middle = torch.cat(margins).flatten().sort().values[len(views[0]) // 2 : -len(views[0]) // 2]
    widest = int(middle.diff().argmax())
    assert middle[widest + 1] - middle[widest] > 1e-3
    return float(middle[widest : widest + 2].mean())


def test_an_image_has_the_same_logits_alone_and_among_others(network: Counting) -> None:
    images = blurred(60)
    _, views = all_logits(network, images, 1, True)
    threshold = threshold_far_from_every_margin(views)
    rule = StoppingRule(1, True, threshold, [0.9, 0.95, 1.0], 60, "validation")
    network.images = 0
    together = predict_with_few_views(network, images, rule)
    assert 60 < network.images < 600
    alone = torch.cat([predict_with_few_views(network, image[None], rule) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_the_order_holds_each_view_once_and_a_view_alone_is_one_of_all() -> None:
    images = torch.randint(0, 256, (3, 3, 5, 7), dtype=torch.uint8)
    for shift, invert in ((0, False), (0, True), (1, False), (2, True)):
        count = views_module.view_count(shift, invert)
        views = views_module.test_time_views(images, shift, invert)
        assert len(views) == count
        assert all(
            torch.equal(views_module.test_time_view(images, number, shift), view) for number, view in enumerate(views)
        )
        order = view_order(count)
        assert order[0] == 0
        assert sorted(order) == list(range(count))
        assert all(0 < stop < count for stop in stops(count))


def some_views(margins: list[float], changed: float | None = None) -> Tensor:
    """Logits of two views: equal ones with these margins, and with `changed` one more image, whose second view has
    another label and weighs more."""
    views = torch.zeros(2, len(margins), 10)
    views[:, :, 0] = torch.tensor(margins)
    if changed is None:
        return views
    odd = torch.zeros(2, 1, 10)
    odd[0, 0, 0], odd[1, 0, 1] = changed, 3 * changed
    return torch.cat([views, odd], dim=1)


def test_the_threshold_is_safely_above_the_margins_that_other_views_overturn() -> None:
    views = torch.cat([some_views([4.0] * 500), *(some_views([], 0.1 * margin) for margin in range(1, 21))], dim=1)
    rule = choose_rule(views, 0, True, "validation")
    assert rule is not None
    assert rule.threshold == pytest.approx(1.5 * 2.0)
    assert rule.scales == [pytest.approx(1.0)]
    assert (rule.n, rule.part) == (520, "validation")
    softer = copy.deepcopy(views)
    softer[1, :500] /= 2
    assert choose_rule(softer, 0, True, "validation").scales == [pytest.approx(0.75)]  # type: ignore[union-attr]


def test_where_hardly_a_label_changes_the_threshold_is_half_of_the_median_margin() -> None:
    for views in (some_views([4.0] * 99), some_views([4.0] * 99, 0.1)):
        rule = choose_rule(views, 0, True, "validation")
        assert rule is not None
        assert rule.threshold == pytest.approx(2.0)
    many = torch.cat([some_views([4.0] * 500), *(some_views([], 0.1) for _ in range(20))], dim=1)
    of_training = choose_rule(many, 0, True, "train")  # these are known by heart: they tell too little
    assert of_training is not None
    assert of_training.threshold == pytest.approx(2.0)


def test_one_view_and_a_diverged_network_need_no_rule() -> None:
    assert choose_rule(torch.zeros(1, 5, 10), 0, False, "validation") is None
    assert choose_rule(torch.full((2, 5, 10), float("nan")), 0, True, "validation") is None


@pytest.fixture
def checkpoint(finished: Path, tmp_path: Path, network: Counting) -> Path:
    """A run's checkpoint with ten views of an image and a rule for them."""
    words = ("tta=1", "tta_invert=true")
    weights = {name.removeprefix("model."): value for name, value in network.state_dict().items()}
    run = as_if_it_had_learnt(finished, tmp_path / "run", weights, *words)
    _, views = all_logits(network, blurred(200), 1, True)
    rule = choose_rule(views, 1, True, "validation")
    assert rule is not None
    change(run / "checkpoints/best.pt", stopping_rule=asdict(rule))
    return run / "checkpoints/best.pt"


def change(file: Path, **values: Any) -> None:
    save_checkpoint(file, {**load_checkpoint(file), **values})


def test_a_loaded_model_uses_its_rule_and_all_views_if_told_so(checkpoint: Path) -> None:
    trained, images = load_trained_model(checkpoint), blurred(50)
    assert trained.stopping_rule is not None
    expected = predict_with_few_views(trained.model, images, trained.stopping_rule) / trained.temperature
    assert torch.equal(trained.logits(images), expected)
    mean, _ = all_logits(trained.model, images, 1, True)
    torch.testing.assert_close(trained.logits(images, all_views=True), mean / trained.temperature)
    assert "1 to 10 views" in str(trained.views_note)


def test_a_checkpoint_without_a_rule_or_with_one_for_other_views_uses_all_views(checkpoint: Path) -> None:
    for words, count in ((("tta=0",), "2 views"), (("tta_invert=false",), "5 views")):
        trained = load_trained_model(checkpoint, words)
        assert trained.stopping_rule is None
        assert count in str(trained.views_note)
    assert load_trained_model(checkpoint, ("tta=0", "tta_invert=false")).views_note is None
    change(checkpoint, stopping_rule=None)  # as in a file of an earlier version
    trained, images = load_trained_model(checkpoint), blurred(5)
    mean, _ = all_logits(trained.model, images, 1, True)
    torch.testing.assert_close(trained.logits(images), mean / trained.temperature)


def test_calibrating_on_demand_also_fits_the_rule(finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "alone.pt"
    content = load_checkpoint(finished / "checkpoints/best.pt")
    assert "stopping_rule" not in content  # it has one view
    save_checkpoint(file, {**content, "config": {**content["config"], "tta": 1}})
    recalibrate(file, ())
    rule = load_trained_model(file).stopping_rule
    assert rule is not None
    assert (rule.part, rule.tta, rule.tta_invert) == ("validation", 1, False)
    assert rule.n == load_checkpoint(file)["calibration"]["n"]


@pytest.mark.parametrize(
    "damage",
    [
        {"threshold": float("nan")},
        {"threshold": -1.0},
        {"threshold": "1"},
        {"scales": [1.0]},
        {"scales": [1.0, 0.0, 1.0]},
        {"scales": None},
        {"tta": "1"},
        {"n": None},
        {"more": 1},
    ],
)
def test_a_damaged_rule_is_one_line(checkpoint: Path, damage: dict[str, Any]) -> None:
    change(checkpoint, stopping_rule={**load_checkpoint(checkpoint)["stopping_rule"], **damage})
    with pytest.raises(UserError, match=r"damaged .stopping_rule"):
        load_trained_model(checkpoint)
