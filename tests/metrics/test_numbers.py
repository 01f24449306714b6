"""Whole numbers from a reader's logits."""

import itertools
import math

import pytest
import torch
from number_logits import logits_of, numbers
from torch import Tensor
from torch.nn.functional import kl_div

from housenumbers.metrics import tasks
from housenumbers.metrics.number_scores import number_scores
from housenumbers.metrics.numbers import (
    BLANK,
    as_strings,
    confidence_with_digits,
    correct_numbers,
    digit_confidences,
    negative_log_likelihoods,
    number_confidence,
    pooled_numbers,
    read_numbers,
)


def collapsed(path: tuple[int, ...]) -> str:
    return "".join(str(symbol) for symbol, _ in itertools.groupby(path) if symbol != BLANK)


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("11-1", "11"),
        ("--7-", "7"),
        ("1233", "123"),
        ("----", ""),
        ("0-00", "00"),
        ("5", "5"),
        ("-", ""),
    ],
)
def test_a_path_without_repeats_and_blanks_is_the_number(path: str, number: str) -> None:
    logits = logits_of(path)
    assert as_strings(read_numbers(logits)) == [number]
    assert len(digit_confidences(logits, read_numbers(logits))[0]) == len(number)


def test_a_number_may_be_longer_than_any_label() -> None:
    logits = logits_of("1234567890")
    assert as_strings(read_numbers(logits)) == ["1234567890"]
    assert correct_numbers(logits, numbers("123456")).tolist() == [False]
    assert number_scores(logits, numbers("123456"))["digits_added"] == 4


@pytest.mark.parametrize("number", ["", "3", "33", "12"])
def test_a_number_s_probability_is_that_of_all_its_paths(number: str) -> None:
    logits = torch.randn(1, 3, 11, generator=torch.Generator().manual_seed(0))
    probabilities = logits[0].softmax(dim=1)
    expected = sum(
        math.prod(float(probabilities[place, symbol]) for place, symbol in enumerate(path))
        for path in itertools.product(range(11), repeat=3)
        if collapsed(path) == number
    )
    assert (-negative_log_likelihoods(logits, numbers(number))).exp().item() == pytest.approx(expected, rel=1e-4)


def paths_of(logits: Tensor) -> dict[str, list[tuple[float, tuple[int, ...]]]]:
    """All paths of one image's logits `[T, 11]` with their probabilities, by the number that they give."""
    probabilities = logits.softmax(dim=1).tolist()
    paths: dict[str, list[tuple[float, tuple[int, ...]]]] = {}
    for path in itertools.product(range(11), repeat=len(logits)):
        probability = math.prod(row[symbol] for row, symbol in zip(probabilities, path, strict=True))
        paths.setdefault(collapsed(path), []).append((probability, path))
    return paths


def test_the_number_of_the_highest_probability_is_read_and_not_that_of_the_best_path() -> None:
    logits = 3 * torch.randn(60, 4, 11, generator=torch.Generator().manual_seed(0))
    all_paths = [paths_of(image) for image in logits]
    expected = [max(paths, key=lambda text: sum(share for share, _ in paths[text])) for paths in all_paths]
    assert as_strings(read_numbers(logits)) == expected
    of_best_paths = [max(paths, key=lambda text: max(paths[text])) for paths in all_paths]
    assert sum(one != other for one, other in zip(expected, of_best_paths, strict=True)) >= 2
    for number, confidences in zip(expected, digit_confidences(logits, read_numbers(logits)), strict=True):
        assert len(confidences) == len(number)


@pytest.mark.parametrize("scale", [0.3, 1, 2])
def test_a_search_never_ends_at_a_less_probable_number_than_that_of_the_best_path(scale: float) -> None:
    logits = scale * torch.randn(200, 12, 11, generator=torch.Generator().manual_seed(3))
    best_paths = [collapsed(tuple(path)) for path in logits.argmax(dim=2).tolist()]
    of_paths = torch.tensor([[int(digit) for digit in text] + [-1] * (12 - len(text)) for text in best_paths])
    read = number_confidence(logits, read_numbers(logits))
    assert (read >= number_confidence(logits, of_paths) * (1 - 1e-5)).all()


def test_a_digit_s_confidence_is_that_at_the_places_of_its_number_s_best_path() -> None:
    logits = 2 * torch.randn(40, 4, 11, generator=torch.Generator().manual_seed(0))
    for image, confidences in zip(logits, digit_confidences(logits, read_numbers(logits)), strict=True):
        (number,) = as_strings(read_numbers(image[None]))
        _, path = max(paths_of(image)[number])
        expected, place = [], 0
        for symbol, same in itertools.groupby(path):
            places = range(place, place := place + len(list(same)))
            if symbol != BLANK:
                expected.append(max(float(image[at].softmax(dim=0)[symbol]) for at in places))
        assert confidences == pytest.approx(expected)


def test_a_number_that_is_shorter_than_that_of_the_best_path_has_a_confidence_for_each_of_its_digits() -> None:
    probabilities = torch.full((1, 3, 11), 1e-6)
    probabilities[0, 0, 1] = probabilities[0, 1, 2] = 1
    probabilities[0, 2, [3, BLANK, 2]] = torch.tensor([0.4, 0.3, 0.3])
    ((one, two),) = digit_confidences(probabilities.log(), torch.tensor([[1, 2]]))
    assert one == pytest.approx(1, abs=1e-3)
    assert two == pytest.approx(1, abs=1e-3)


def test_what_is_read_does_not_depend_on_other_images() -> None:
    logits = 2 * torch.randn(30, 9, 11, generator=torch.Generator().manual_seed(2))
    together = as_strings(read_numbers(logits))
    assert together == [as_strings(read_numbers(image[None]))[0] for image in logits]
    assert as_strings(read_numbers(logits[:0])) == []


def test_the_confidence_is_the_probability_of_the_number_that_is_read() -> None:
    logits = torch.randn(5, 7, 11, generator=torch.Generator().manual_seed(1))
    expected = (-negative_log_likelihoods(logits, read_numbers(logits))).exp()
    assert torch.equal(number_confidence(logits, read_numbers(logits)), expected)
    assert torch.equal(tasks.confidence(logits), expected.double())


def test_where_no_number_is_read_the_most_probable_one_has_a_probability() -> None:
    logits = torch.randn(20, 4, 11, generator=torch.Generator().manual_seed(4))
    logits[:, :, BLANK] += 7
    for image, found in zip(logits, confidence_with_digits(logits).tolist(), strict=True):
        paths = paths_of(image)
        likeliest = max(sum(share for share, _ in paths[text]) for text in paths if text)
        assert found == pytest.approx(likeliest, rel=1e-4)
        assert found < sum(share for share, _ in paths[""])


def test_a_number_that_does_not_fit_has_no_loss_in_training() -> None:
    logits = torch.zeros(2, 3, 11, requires_grad=True)
    labels = numbers("1122", "5")  # the first one needs six places
    losses = negative_log_likelihoods(logits, labels)
    assert losses[0].isinf()
    tasks.mean_loss(logits, labels).backward()
    assert tasks.mean_loss(logits, labels).item() == pytest.approx(losses[1].item() / 2)
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() == 0
    assert logits.grad[1].abs().sum() > 0


def test_label_smoothing_draws_each_place_of_a_number_towards_equal_probabilities() -> None:
    logits = torch.randn(3, 7, 11, generator=torch.Generator().manual_seed(3))
    labels = numbers("12", "7", "")
    divergences = kl_div(logits.log_softmax(dim=2), torch.full_like(logits, 1 / 11), reduction="none").sum(dim=(1, 2))
    expected = 0.9 * tasks.mean_loss(logits, labels) + 0.1 * divergences.mean()
    torch.testing.assert_close(tasks.mean_loss(logits, labels, label_smoothing=0.1), expected)
    equal = torch.zeros(1, 7, 11)
    expected = 0.9 * tasks.mean_loss(equal, labels[:1])
    torch.testing.assert_close(tasks.mean_loss(equal, labels[:1], label_smoothing=0.1), expected)


def test_views_of_any_length_agree_on_the_number_with_the_highest_mean_probability() -> None:
    hardly = logits_of("1-2-") * 0.3
    surely = logits_of("--1-3-")
    found, confidences, views = pooled_numbers([hardly, surely])
    assert as_strings(found) == ["13"]
    assert views.tolist() == [1]
    expected = [number_confidence(view, numbers("13")) for view in (hardly, surely)]
    torch.testing.assert_close(confidences, torch.stack(expected).mean(dim=0))


def test_no_view_s_number_has_a_higher_mean_probability_than_the_pooled_one() -> None:
    generator = torch.Generator().manual_seed(0)
    views = [3 * torch.randn(50, places, 11, generator=generator) for places in (5, 8, 6)]
    found, confidences, best = pooled_numbers(views)
    of_found = torch.stack([number_confidence(view, found) for view in views])
    torch.testing.assert_close(of_found.mean(dim=0), confidences)
    assert of_found.argmax(dim=0).equal(best)
    for view in views:
        means = torch.stack([number_confidence(other, read_numbers(view)) for other in views]).mean(dim=0)
        assert (means <= confidences + 1e-6).all()
    alone = pooled_numbers(views[:1])
    assert as_strings(alone[0]) == as_strings(read_numbers(views[0]))
