"""Configurations as plain values, and their comparison."""

import copy

from support import composed

from housenumbers.config.values import config_to_dict, differing_keys, without_machine_keys
from housenumbers.sweeps.space import Space
from housenumbers.sweeps.study import fixed_config


def test_records_of_earlier_versions_equal_todays() -> None:
    """They lack the keys that were added since, which say nothing new about their data."""
    config = composed("data=digits")
    today = config_to_dict(config)
    earlier = copy.deepcopy(today)
    for key in ("width", "rendered"):
        del earlier["data"][key]
    del earlier["keep_epoch"]
    assert without_machine_keys(earlier) == without_machine_keys(today)
    assert fixed_config(earlier, {}, Space()) == fixed_config(today, {}, Space())  # a study's default name hashes it
    numbers = today | {"data": today["data"] | {"width": 80}}
    assert without_machine_keys(numbers)["data.width"] == 80


def test_a_key_that_differs_is_named() -> None:
    assert differing_keys(composed("data=digits"), composed("data=digits", "epochs=3", "threads=2")) == ["epochs"]
