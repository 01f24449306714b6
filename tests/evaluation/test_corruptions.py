"""Corrupted images: what they are, that they are worse the stronger, and that every net meets the same ones."""

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from support import composed
from torch import Tensor

from housenumbers.data.load import load_test
from housenumbers.evaluation.corruption_figure import _apart, corruption_figure
from housenumbers.evaluation.corruptions import KINDS, STRENGTHS, corrupt


@pytest.fixture(scope="module")
def crops() -> Tensor:
    """Sixty rendered street numbers, uint8 `[60, 3, 32, 32]`."""
    return load_test(composed("data=synthetic", "data.size=240").data).images


def plain(*rgb: int) -> Tensor:
    """An image of one colour, `[1, 3, 32, 32]`."""
    return torch.tensor(rgb, dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 32, 32).contiguous()


def test_at_least_the_kinds_that_matter_are_there() -> None:
    assert {
        "gaussian_noise",
        "gaussian_blur",
        "brightness",
        "contrast",
        "jpeg",
        "rotation",
        "shift",
        "occlusion",
    } < set(KINDS)
    assert all(len(kind.amounts) == len(STRENGTHS) == 5 for kind in KINDS.values())


@pytest.mark.parametrize("kind", KINDS)
def test_the_stronger_the_farther_from_the_image(kind: str, crops: Tensor) -> None:
    before = crops.clone()
    worse = [corrupt(crops, kind, strength) for strength in (0, *STRENGTHS)]
    assert torch.equal(crops, before)
    assert torch.equal(worse[0], crops)
    assert all(images.dtype == torch.uint8 and images.shape == crops.shape for images in worse)
    distances = [(images.float() - crops).abs().mean().item() for images in worse]
    assert distances == sorted(set(distances))


@pytest.mark.parametrize("kind", KINDS)
def test_a_image_is_corrupted_alike_whatever_comes_with_it(kind: str, crops: Tensor) -> None:
    whole = corrupt(crops, kind, 3)
    torch.manual_seed(1)
    np.random.seed(1)
    parts = [corrupt(crops[first : first + 7], kind, 3, first) for first in range(0, len(crops), 7)]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("kind", ["gaussian_noise", "shot_noise", "impulse_noise", "rotation", "shift", "occlusion"])
def test_chance_differs_from_image_to_image(kind: str, crops: Tensor) -> None:
    same = crops[:1].expand(20, -1, -1, -1)
    assert len(corrupt(same, kind, 5).unique(dim=0)) > 1


def test_brightness_raises_the_value_and_keeps_the_hue() -> None:
    assert corrupt(plain(100, 50, 0), "brightness", 1)[0, :, 9, 9].tolist() == [
        113,
        56,
        0,
    ]  # 100 + 0.05 * 255 = 112.75
    assert corrupt(plain(0, 0, 0), "brightness", 5).unique().tolist() == [76]  # 0.3 * 255 = 76.5, to even
    assert corrupt(plain(250, 125, 0), "brightness", 5)[0, :, 0, 0].tolist() == [255, 128, 0]


def test_contrast_draws_each_channel_to_its_mean() -> None:
    image = plain(0, 0, 200)
    image[:, 0, :16] = 200  # so that its mean is 100
    worse = corrupt(image, "contrast", 2)  # half of it is left
    assert worse[0, 0, :16].unique().tolist() == [150]
    assert worse[0, 0, 16:].unique().tolist() == [50]
    assert worse[0, 1].unique().tolist() == [0]
    assert worse[0, 2].unique().tolist() == [200]


def test_shift_moves_by_whole_pixels_and_repeats_the_border(crops: Tensor) -> None:
    moved = corrupt(crops, "shift", 2)  # by four pixels
    wanted = [
        torch.cat([crops[:, :, 4:], crops[:, :, -1:].expand(-1, -1, 4, -1)], dim=2),
        torch.cat([crops[:, :, :1].expand(-1, -1, 4, -1), crops[:, :, :-4]], dim=2),
        torch.cat([crops[..., 4:], crops[..., -1:].expand(-1, -1, -1, 4)], dim=3),
        torch.cat([crops[..., :1].expand(-1, -1, -1, 4), crops[..., :-4]], dim=3),
    ]
    found = torch.stack([(moved == each).flatten(1).all(dim=1) for each in wanted])
    assert found.any(dim=0).all()
    assert found.any(dim=1).all()  # in every direction


@pytest.mark.parametrize("strength", STRENGTHS)
def test_occlusion_covers_one_square_by_the_mean_colour(strength: int) -> None:
    image = plain(0, 0, 0)
    image[..., ::2] = 200
    for place in range(20):
        covered = (corrupt(image, "occlusion", strength, place)[0] == 100).all(dim=0).nonzero()
        side = KINDS["occlusion"].amounts[strength - 1]
        assert len(covered) == side**2
        assert (covered.amax(dim=0) - covered.amin(dim=0) + 1).tolist() == [side, side]


@pytest.mark.parametrize("beside", [0, 24])
def test_rotation_is_by_its_angle_about_the_centre_of_wide_images_too(beside: int) -> None:
    image = plain(0, 0, 0)
    image[..., 15:17, 16:] = 250  # a hand that points to the right
    image = torch.nn.functional.pad(image, (beside, beside))
    angles = set()
    for place in range(10):
        rotated = corrupt(image, "rotation", 3, place)[0, 0, :, beside : beside + 32]
        rows, columns = (rotated[4:28, 4:28] > 120).nonzero().double().T
        up = (11.5 - rows).mean() / (columns - 11.5).mean()
        angles.add(round(float(torch.rad2deg(up.atan()))))
    assert len(angles) == 2
    assert all(angle == pytest.approx(wanted, abs=2) for angle, wanted in zip(sorted(angles), (-30, 30), strict=True))


def test_noise_has_its_deviation_and_its_fraction() -> None:
    grey = plain(128, 128, 128).expand(40, -1, -1, -1)
    for strength in STRENGTHS:
        place = strength - 1
        gaussian = corrupt(grey, "gaussian_noise", strength).double() / 255
        assert gaussian.std().item() == pytest.approx(KINDS["gaussian_noise"].amounts[place], rel=0.02)
        assert gaussian.mean().item() == pytest.approx(128 / 255, abs=1e-3)
        shot = corrupt(grey, "shot_noise", strength).double() / 255
        assert shot.std().item() == pytest.approx((128 / 255 / KINDS["shot_noise"].amounts[place]) ** 0.5, rel=0.02)
        impulse = corrupt(grey, "impulse_noise", strength)
        for extreme in (0, 255):
            share = (impulse == extreme).double().mean().item()
            assert share == pytest.approx(KINDS["impulse_noise"].amounts[place] / 2, rel=0.1)
        assert set(impulse.unique().tolist()) == {0, 128, 255}


def test_blur_is_that_of_scipy(crops: Tensor) -> None:
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(crops.double().numpy(), sigma=(0, 0, 1, 1), mode="mirror")
    assert np.abs(blurred - corrupt(crops, "gaussian_blur", 5).numpy()).max() < 0.51


def test_labels_of_the_figure_do_not_overlap(crops: Tensor) -> None:
    places = _apart([0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.99, 1.0, 1.0, 1.0], 0.0, 1.0)
    assert np.diff(places).min() > 0.04
    assert places[0] == pytest.approx(0.1)
    assert places[3] == pytest.approx(0.5)
    assert places[-1] <= 1.0
    kinds = {kind: {"accuracy": [0.9] * 5, "mean": 0.9} for kind in KINDS}
    figure = corruption_figure({"accuracy": 0.9, "mean": 0.9, "kinds": kinds}, crops[0])
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    # Of the words alone: an annotation's own extent has its line with it.
    boxes = [Text.get_window_extent(text, renderer) for axes in figure.axes for text in axes.texts]
    assert len(boxes) == 10 + 10 + 60 + 6 + 1
    assert not [1 for place, box in enumerate(boxes) for other in boxes[:place] if box.overlaps(other)]
    assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))


@pytest.mark.parametrize("side", [28, 64, 224])
def test_what_a_corruption_leaves_alone_stays_to_the_bit(side: int) -> None:
    """At strength 0 all of it; and floats become bytes by rounding, since cutting off would make images darker."""
    images = torch.arange(4 * 3 * side * side, dtype=torch.int64).mul(7).to(torch.uint8).view(4, 3, side, side)
    assert all(torch.equal(corrupt(images, kind, 0), images) for kind in KINDS)
    covered = corrupt(images, "occlusion", 1)
    assert (covered == images).float().mean() > 1 - (8 / side) ** 2 - 0.01
    (rows, columns) = corrupt(images, "shift", 1)[0, 0].shape
    moved = corrupt(images, "shift", 1)[0, :, 2 : rows - 2, 2 : columns - 2]
    steps = ((0, 2), (0, -2), (2, 0), (-2, 0))
    assert any(torch.equal(images[0].roll(step, (1, 2))[:, 2 : rows - 2, 2 : columns - 2], moved) for step in steps)


@pytest.mark.parametrize("kind", ["rotation", "shift", "occlusion", "gaussian_blur", "contrast"])
def test_a_plain_image_keeps_its_grey(kind: str) -> None:
    greys = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(256, 3, 28, 28).contiguous()
    assert all(torch.equal(corrupt(greys, kind, strength), greys) for strength in STRENGTHS)
