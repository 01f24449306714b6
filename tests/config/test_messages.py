"""Words that several messages are made of."""

from housenumbers.config.messages import as_typed
from housenumbers.runtime.text import plural


def test_a_noun_follows_its_number() -> None:
    assert [plural(count, "seed") for count in (0, 1, 2, 12345)] == ["0 seeds", "1 seed", "2 seeds", "12,345 seeds"]


def test_a_value_is_shown_as_one_types_it() -> None:
    assert [as_typed(value) for value in (None, True, False, 0.5, "None")] == ["null", "true", "false", "0.5", "None"]
