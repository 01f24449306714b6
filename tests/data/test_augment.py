"""Augmentation and batches: functions of (seed, epoch, step), images that stay where they should."""

import re

import pytest
import torch

from housenumbers.config.sections import AugmentConfig
from housenumbers.data.augment import augment
from housenumbers.data.batches import eval_batches, mixup, training_batches
from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.random_streams import generator_for
from housenumbers.runtime.errors import UserError


def labeled_images(count: int = 40) -> LabeledImages:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    images[:, 0] = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1)
    return LabeledImages(images, torch.arange(count) % 10)


def test_nothing_to_do_is_the_same_tensor() -> None:
    images = labeled_images().images
    assert augment(images, AugmentConfig(), generator_for(0)) is images


def test_every_image_moves_by_its_own_amount_within_bounds() -> None:
    dot = torch.zeros(200, 3, 32, 32, dtype=torch.uint8)
    dot[:, :, 15:17, 15:17] = 255
    moved = augment(dot, AugmentConfig(translate=3), generator_for(1))
    mass = moved.sum(dim=(1, 2, 3))
    axis = torch.arange(32.0)
    columns = (moved.sum(dim=(1, 2)) * axis).sum(dim=1) / mass - 15.5
    rows = (moved.sum(dim=(1, 3)) * axis).sum(dim=1) / mass - 15.5
    for shift in (columns, rows):
        assert shift.abs().max() <= 3.01
        assert shift.abs().max() > 2.5
        assert shift.unique().numel() > 150
    assert torch.corrcoef(torch.stack([columns, rows]))[0, 1].abs() < 0.3


def test_rotation_is_the_studys_about_the_centre() -> None:
    from torchvision.transforms.functional import InterpolationMode, rotate

    images = torch.nn.functional.avg_pool2d(labeled_images(1).images.float(), 5, stride=1, padding=2)
    config = AugmentConfig(degrees=10)
    (draw,) = torch.rand(1, 3, generator=generator_for(5))[:, 0] * 2 - 1
    expected = rotate(images, 10 * draw.item(), InterpolationMode.BILINEAR)
    torch.testing.assert_close(augment(images.to(torch.uint8), config, generator_for(5)), expected, atol=3, rtol=0)


def test_padding_fills_the_border() -> None:
    white = torch.full((50, 3, 32, 32), 255, dtype=torch.uint8)
    assert augment(white, AugmentConfig(translate=4, padding="zeros"), generator_for(2)).min() < 1
    assert augment(white, AugmentConfig(translate=4, padding="border"), generator_for(2)).min() > 254.9


def test_an_epoch_has_every_image_once_in_an_order_of_its_own() -> None:
    data, plain = labeled_images(), AugmentConfig()

    def order(seed: int, epoch: int) -> list[int]:
        batches = list(training_batches(data, 16, plain, seed, epoch))
        assert [len(labels) for _, labels in batches] == [16, 16, 8]
        return [int(place) for images, _ in batches for place in images[:, 0, 0, 0]]

    assert sorted(order(1, 1)) == list(range(40))
    assert order(1, 1) == order(1, 1)
    assert order(1, 1) != order(1, 2)
    assert order(1, 1) != order(2, 1)


def test_batches_do_not_depend_on_global_random_state() -> None:
    config = AugmentConfig(degrees=10, translate=2)
    torch.manual_seed(1)
    first = [images for images, _ in training_batches(labeled_images(), 16, config, 7, 3)]
    torch.manual_seed(2)
    torch.rand(100)
    again = [images for images, _ in training_batches(labeled_images(), 16, config, 7, 3)]
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))


def test_plain_batches_keep_order_and_pixels() -> None:
    data = labeled_images()
    images, labels = zip(*eval_batches(data, 16), strict=True)
    assert torch.equal(torch.cat(images), data.images)
    assert torch.equal(torch.cat(labels), data.labels)


def white_square(count: int = 300) -> torch.Tensor:
    """A white square of 10 pixels in the middle of black."""
    images = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    images[:, :, 11:21, 11:21] = 255
    return images


def test_scale_changes_the_area_both_ways_and_shear_does_not() -> None:
    area = augment(white_square(), AugmentConfig(scale=0.5), generator_for(1)).mean(dim=1).sum(dim=(1, 2)) / 255
    assert area.max() < 100 * 1.5**2 + 1
    assert area.max() > 190
    assert area.min() > 100 / 1.5**2 - 1
    assert area.min() < 53
    sheared = augment(white_square(), AugmentConfig(shear=30), generator_for(1)).mean(dim=1)
    assert (sheared.sum(dim=(1, 2)) / 255 - 100).abs().max() < 6
    rows = sheared.sum(dim=2).gt(0).sum(dim=1)
    assert rows.max() <= 12, "its height stays"
    assert sheared.sum(dim=1).gt(100).sum(dim=1).max() > 12, "its width grows"


@pytest.mark.parametrize("move", ["degrees", "translate", "scale", "shear"])
def test_a_wide_image_moves_as_a_square_one(move: str) -> None:
    images = white_square(50)
    wide = torch.nn.functional.pad(images, (24, 24))
    config = AugmentConfig(**{move: 0.5 if move == "scale" else 9.0})
    square = augment(images, config, generator_for(1))
    torch.testing.assert_close(augment(wide, config, generator_for(1))[..., 24:56], square, atol=0.1, rtol=0)
    assert (square - images).abs().max() > 50


def test_color_and_inversion_keep_to_the_scale() -> None:
    grey = torch.full((300, 3, 4, 4), 100, dtype=torch.uint8)
    coloured = augment(grey, AugmentConfig(color=0.4), generator_for(1))[:, :, 0, 0]
    assert coloured.min() >= 0.6 * 0.8 * 100 - 0.01
    assert coloured.max() <= 1.4 * 1.2 * 100 + 0.01
    assert coloured.std(dim=1).max() > 5, "channels differ"
    inverted = augment(grey, AugmentConfig(invert=0.3), generator_for(1))[:, 0, 0, 0]
    assert set(inverted.tolist()) == {100.0, 155.0}
    assert 0.2 < (inverted == 155).float().mean() < 0.4


def test_cutout_hides_one_square_anywhere() -> None:
    images = torch.full((500, 3, 32, 32), 255, dtype=torch.uint8)
    hidden = (augment(images, AugmentConfig(cutout=8), generator_for(1))[:, 0] == 127.5).sum(dim=(1, 2))
    assert hidden.max() == 64
    assert hidden.min() >= 16, "a quarter where its centre lies in a corner"


def test_switching_one_on_leaves_the_others_as_they_were() -> None:
    images = labeled_images().images
    moved = augment(images, AugmentConfig(degrees=10, translate=2), generator_for(1))
    also = augment(images, AugmentConfig(degrees=10, translate=2, invert=1.0), generator_for(1))
    torch.testing.assert_close(also, 255 - moved)


def test_mixup_mixes_images_and_labels_by_one_share_for_each_batch() -> None:
    data = labeled_images()
    batches = list(training_batches(data, 16, AugmentConfig(mixup=1.0), 3, 1))
    plain = list(training_batches(data, 16, AugmentConfig(), 3, 1))
    shares = set()
    for (images, targets), (own, labels) in zip(batches, plain, strict=True):
        partner, partners = own.float().roll(1, 0), labels.roll(1)
        differing = labels != partners
        share = targets[differing, labels[differing]]
        assert share.unique().numel() == 1
        shares.add(share[0].item())
        torch.testing.assert_close(targets[differing, partners[differing]], 1 - share)
        torch.testing.assert_close(targets.sum(dim=1), torch.ones(len(labels)))
        torch.testing.assert_close(images, share[0] * own.float() + (1 - share[0]) * partner)
    assert len(shares) == 3
    again = training_batches(data, 16, AugmentConfig(mixup=1.0), 3, 1)
    assert all(torch.equal(one[0], other[0]) for one, other in zip(batches, again, strict=True))


def test_the_loss_of_mixed_labels_is_the_mean_of_both_losses() -> None:
    logits, labels = torch.randn(6, 10, generator=generator_for(1)), torch.arange(6)
    _, targets = mixup(torch.zeros(6, 3, 2, 2), labels, 0.3)
    cross_entropy = torch.nn.functional.cross_entropy
    own, other = (cross_entropy(logits, each, label_smoothing=0.1) for each in (labels, labels.roll(1)))
    torch.testing.assert_close(cross_entropy(logits, targets, label_smoothing=0.1), 0.3 * own + 0.7 * other)


@pytest.mark.parametrize("side", [28, 32, 64, 224])
def test_strength_nought_is_the_exact_identity(side: int) -> None:
    """Not so for grid_sample on affine_grid's identity, which gives a grey less than it got in most sizes."""
    images = torch.randint(0, 256, (4, 3, side, side), dtype=torch.uint8, generator=generator_for(1))
    beyond = AugmentConfig(cutout=side // 4)
    hidden = augment(images, beyond, generator_for(1))
    seen = hidden != 127.5
    assert 0.5 < seen.float().mean() < 1
    assert torch.equal(hidden[seen], images.float()[seen])
    for config in (AugmentConfig(mixup=0.5), AugmentConfig(padding="border"), AugmentConfig(invert=1e-9)):
        assert torch.equal(augment(images, config, generator_for(2)).to(torch.uint8), images)


def own(**option: object) -> AugmentConfig:
    return AugmentConfig(transforms={"mine": option})


def test_a_transform_of_ones_own_depends_on_its_step_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "torchvision.transforms.v2.*")

    def batches(config: AugmentConfig, seed: int) -> list[torch.Tensor]:
        torch.manual_seed(seed)
        return [images.float() for images, _ in training_batches(labeled_images(), 16, config, 7, 3)]

    def equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> list[bool]:
        return [torch.equal(images, others) for images, others in zip(first, second, strict=True)]

    erasing = own(_target_="torchvision.transforms.v2.RandomErasing", p=1.0)
    assert all(equal(batches(erasing, 0), batches(erasing, 1)))
    assert not any(equal(batches(erasing, 0), batches(AugmentConfig(), 0)))
    idle = own(_target_="torchvision.transforms.v2.Identity")
    idle.translate = 2.0
    assert all(equal(batches(idle, 0), batches(AugmentConfig(translate=2.0), 0)))


def test_who_follows_the_advice_about_an_alias_can_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    blur = own(_target_="torchvision.transforms.v2.GaussianBlur", kernel_size=3)  # defined in torchvision's v2._misc
    for _ in range(2):
        with pytest.raises(UserError, match="HOUSENUMBERS_ALLOW") as caught:
            next(training_batches(labeled_images(), 16, blur, 1, 1))
        (advised,) = re.findall(r"HOUSENUMBERS_ALLOW=(\S+)", str(caught.value))
        monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", advised)
    assert len(next(training_batches(labeled_images(), 16, blur, 1, 1))[1]) == 16


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"_target_": "torchvision.transforms.v2.Nothing"}, "augment.transforms.mine: "),
        ({"_target_": "torchvision.transforms.v2.ConvertImageDtype"}, r"on 0\.\.1: must be on 0\.\.255"),
        ({"_target_": "torchvision.transforms.v2.Grayscale"}, r"returns \[16, 1"),
        ({"_target_": "torchvision.transforms.v2.FiveCrop", "size": 8}, "returns a tuple"),
        ({"_target_": "torchvision.transforms.v2.Lambda"}, "augment.transforms.mine: "),
        ({"_target_": "os.getcwd"}, "HOUSENUMBERS_ALLOW"),
    ],
)
def test_what_a_transform_must_not_give_is_one_line(
    monkeypatch: pytest.MonkeyPatch, option: dict[str, object], said: str
) -> None:
    monkeypatch.setattr("housenumbers.config.targets.ALLOW_VALUE", "torchvision.transforms.v2.*")
    with pytest.raises(UserError, match=said):
        next(training_batches(labeled_images(), 16, own(**option), 1, 1))
