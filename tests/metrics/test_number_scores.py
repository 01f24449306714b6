"""Scores of whole numbers."""

import pytest
from number_logits import logits_of, numbers

from housenumbers.metrics import tasks
from housenumbers.metrics.number_scores import aligned, edit_distance, number_scores


@pytest.mark.parametrize(
    ("true", "read", "edits"),
    [
        ("123", "123", 0),
        ("123", "13", 1),
        ("123", "1223", 1),
        ("123", "129", 1),
        ("", "4", 1),
        ("12", "21", 2),
    ],
)
def test_edits_are_the_least(true: str, read: str, edits: int) -> None:
    assert edit_distance(true, read) == edits
    pairs = aligned(true, read)
    assert "".join(old for old, _ in pairs if old) == true
    assert "".join(new for _, new in pairs if new) == read


def test_scores_count_whole_numbers_and_digits() -> None:
    logits = logits_of("1-2-3-", "4-4---", "7-----", "------", "8-9---")
    labels = numbers("123", "44", "1", "", "8")
    scores = number_scores(logits, labels)
    assert scores["accuracy"] == 3 / 5
    assert scores["n"] == 5
    assert scores["accuracy_by_length"] == [1.0, 0.0, 1.0, 1.0, None, None, None]
    assert scores["digit_error_rate"] == 2 / 7  # one replaced, one added
    assert (scores["digits_missed"], scores["digits_added"]) == (0, 1)
    assert scores["confusion"][1] == [0, 1, 0, 0, 0, 0, 0, 1, 0, 0]
    assert scores["per_class_accuracy"][1] == 0.5
    assert scores["per_class_accuracy"][5] is None
    assert tasks.correct(logits, labels).tolist() == [True, True, False, True, False]
    assert tasks.accuracy_and_loss(logits, labels)[0] == scores["accuracy"]
    assert tasks.confident_mistakes(logits, labels).sort().values.tolist() == [2, 4]
    assert tasks.predicted_texts(logits) == ["123", "44", "7", "", "89"]
    assert tasks.label_texts(labels) == ["123", "44", "1", "", "8"]


def test_no_images_have_no_scores_each() -> None:
    logits, labels = logits_of("123")[:0], numbers("123")[:0]
    assert tasks.predicted_texts(logits) == []
    assert tasks.confidence(logits).tolist() == tasks.probability_of(logits, labels).tolist() == []


def test_a_number_that_needs_more_places_than_there_are_is_wrong_and_has_no_loss() -> None:
    logits, labels = logits_of("123", "44-"), numbers("123", "1144")
    scores = number_scores(logits, labels)
    assert scores["accuracy"] == 1 / 2
    assert scores["loss"] == pytest.approx(tasks.accuracy_and_loss(logits, labels)[1])
    assert scores["loss"] < 100
