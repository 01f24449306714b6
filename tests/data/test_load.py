"""What a source of data gives is checked where it is read, be it one of ours or one's own."""

from collections.abc import Callable

import pytest
import torch
from support import composed

from housenumbers.data.labeled_images import LabeledImages
from housenumbers.data.load import SOURCES, load_splits, load_test
from housenumbers.runtime.errors import UserError

GOOD = LabeledImages(torch.zeros(40, 3, 32, 32, dtype=torch.uint8), torch.arange(40) % 10)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data._replace(images=data.images / 255), "uint8"),
        (lambda data: data._replace(images=data.images.movedim(1, -1)), "uint8"),
        (lambda data: data._replace(images=data.images[:, :1]), "uint8"),
        (lambda data: data._replace(labels=data.labels + 1), "0..9, not 1..10"),
        (lambda data: data._replace(labels=data.labels.int()), "int64"),
        (lambda data: data._replace(labels=data.labels[1:]), "one for each image"),
    ],
)
def test_a_source_that_gives_something_else_is_refused(
    change: Callable[[LabeledImages], LabeledImages], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, "digits", lambda *_: (change(GOOD), "sha256"))
    config = composed("data=digits").data
    for load in (load_splits, load_test):
        with pytest.raises(UserError, match=r"^data.name=digits: what it reads as (train|test): ") as caught:
            load(config)
        assert said in str(caught.value)


def test_rendered_images_join_the_training_part() -> None:
    overrides = ["data=digits", "data.difficulty=0.5", "data.reduce=1"]
    alone = load_splits(composed("data=digits").data)
    joined = load_splits(composed(*overrides, "data.rendered=30").data)
    assert alone.validation is not None
    assert joined.validation is not None
    assert len(joined.train.labels) == len(alone.train.labels) + 30
    assert torch.equal(joined.train.images[:-30], alone.train.images)
    assert torch.equal(joined.validation.images, alone.validation.images)
    assert joined.train.labels[-30:].bincount().tolist() == [3] * 10
    assert joined.sha256 != alone.sha256
    with pytest.raises(UserError, match=r"^data.difficulty=0.5: .*data.rendered=0"):
        composed(*overrides)
    with pytest.raises(UserError, match=r"^data.rendered=30: "):
        composed("data=synthetic_small", "data.rendered=30")
