"""Ranges of a search that the configuration does not allow are refused before the first trial."""

import pytest
from support import composed

from housenumbers.runtime.errors import UserError
from housenumbers.sweeps.space import read_space
from housenumbers.sweeps.unused_parameters import check_ranges


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("optimizer.lr=interval(-1,0.01)", "optimizer.lr="),
        ("optimizer.lr=choice(-1,0.01)", "optimizer.lr=-1"),
        ("data.batch_size=range(0,10)", "data.batch_size=0"),
        ("data.val_fraction=interval(0.1,1.5)", "data.val_fraction="),
        ("scheduler.gamma=interval(0.5,2)", "scheduler.gamma="),
        ("seed=choice(-1,1)", "seed=-1"),
        ("augment.invert=interval(0,1.1)", "augment.invert="),
    ],
)
def test_a_number_out_of_range_is_named(word: str, key: str) -> None:
    space, _, _ = read_space({}, [word])
    with pytest.raises(UserError, match=f"^{key}.*: must be "):
        check_ranges(space, composed())


def test_what_is_allowed_is_not_refused() -> None:
    words = [
        "optimizer.lr=interval(0,0.1)", "scheduler.gamma=interval(0.0,1.0)", "data.batch_size=choice(16,32)",
        "scheduler.step_size=range(1,20)", "augment=choice(none,rotation)", "optimizer.unknown=interval(-1,1)",
    ]  # fmt: skip
    space, _, _ = read_space({}, words)
    check_ranges(space, composed())
