"""Metrics, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from housenumbers.evaluation import figures
from housenumbers.metrics.classes import classification_scores, precision_recall
from housenumbers.metrics.tasks import confident_mistakes
from housenumbers.metrics.views import predict_logits


def test_score_agrees_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 9, (500,), generator=generator)  # no image of class 9
    logits = torch.randn(500, 10, generator=generator) + 2 * torch.nn.functional.one_hot(labels, 10)
    scores = classification_scores(logits, labels)
    predicted = logits.argmax(dim=1)
    assert scores["confusion"] == confusion_matrix(labels, predicted, labels=range(10)).tolist()
    assert scores["accuracy"] == (labels == predicted).sum().item() / 500
    assert scores["loss"] == pytest.approx(log_loss(labels, logits.double().softmax(dim=1), labels=range(10)), abs=1e-5)
    assert scores["n"] == 500
    assert scores["per_class_accuracy"][9] is None
    assert scores["per_class_accuracy"][3] == (predicted[labels == 3] == 3).sum().item() / (labels == 3).sum().item()


def test_predict_does_not_depend_on_the_batch_and_leaves_eval_mode() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 10), torch.nn.Dropout(0.5))
    images, labels = torch.rand(7, 3, 2, 2), torch.arange(7)
    logits, targets = predict_logits(model, [(images[:4], labels[:4]), (images[4:], labels[4:])])
    whole, _ = predict_logits(model, [(images, labels)])
    torch.testing.assert_close(logits, whole)
    assert torch.equal(targets, labels)
    assert not model.training


@pytest.mark.parametrize("wrong", [0, 3, 40])
def test_sample_predictions_show_mistakes_first(wrong: int) -> None:
    labels = torch.arange(40) % 10
    logits = torch.nn.functional.one_hot(torch.where(torch.arange(40) < wrong, labels + 1, labels) % 10, 10) * 5.0
    figure = figures.sample_predictions(torch.zeros(40, 3, 32, 32, dtype=torch.uint8), labels, logits)
    (axes,) = figure.axes
    titles = [text.get_text() for text in axes.texts]
    shown_wrong = [title for title in titles if title[0] != title.split("→ ")[1][0]]
    assert len(shown_wrong) == min(wrong, 16)
    assert titles[: len(shown_wrong)] == shown_wrong
    assert len(titles) == len(axes.images) == min(wrong, 16) + min(40 - wrong, 16)


def test_test_time_augmentation_is_the_mean_over_shifts_that_repeat_the_border_and_over_inverted_views() -> None:
    images = torch.randint(0, 256, (5, 3, 6, 8), dtype=torch.uint8)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 6 * 8, 10)).double()
    batches = [(images.double(), torch.zeros(5, dtype=torch.long))]
    padded = torch.nn.functional.pad(images.double(), (2, 2, 2, 2), mode="replicate")
    views = [padded[:, :, 2 + down : 8 + down, 2 + right : 10 + right] for down, right in
             ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2))]  # fmt: skip
    shifted = torch.stack([model(view) for view in views]).mean(dim=0)
    inverted = torch.stack([model(255 - view) for view in views]).mean(dim=0)
    torch.testing.assert_close(predict_logits(model, batches, shift=2)[0], shifted.float())
    torch.testing.assert_close(
        predict_logits(model, batches, shift=2, invert=True)[0], ((shifted + inverted) / 2).float()
    )


def test_precision_and_recall_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 9, (500,), generator=generator)  # no 9
    logits = torch.randn(500, 10, generator=generator)
    logits[:, 8] = -9  # never predicted
    found = precision_recall(classification_scores(logits, labels)["confusion"])
    expected = precision_recall_fscore_support(labels, logits.argmax(dim=1), labels=range(10), zero_division=np.nan)
    for place in (0, 1):
        values = [np.nan if pair[place] is None else pair[place] for pair in found]
        np.testing.assert_allclose(values, expected[place])
    assert found[8][0] is None
    assert found[9][1] is None
    assert found[8][1] == 0


def test_the_most_confident_mistakes_come_first() -> None:
    logits = torch.tensor([[0.0, 5.0], [9.0, 0.0], [0.0, 1.0], [0.0, 8.0]])
    assert confident_mistakes(logits, torch.tensor([0, 0, 0, 0])).tolist() == [3, 0, 2]
