"""Paired values: the text of zip() as overrides, and as the value of hydra.sweeper.zip."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from housenumbers.config.paired_values import move_zips, paired_overrides, split_words


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a=0.1,0.2 b=16,32", [("a=0.1", "b=16"), ("a=0.2", "b=32")]),
        ("model=resnet31,fastnet +x=1,2", [("model=resnet31", "+x=1"), ("model=fastnet", "+x=2")]),
        ("a=[1, 2],[3,[4]] b=range(1,3)", [("a=[1,2]", "b=1"), ("a=[3,[4]]", "b=2")]),
        ("a='x y',\"z,)\" b={c:1},{c:2}", [("a='x y'", "b={c:1}"), ('a="z,)"', "b={c:2}")]),
        (r"a='it\'s b',c", [(r"a='it\'s b'",), ("a=c",)]),
        ("a=1 b=2", [("a=1", "b=2")]),
    ],
)
def test_each_row_has_a_value_of_each_key(text: str, rows: list[tuple[str, ...]]) -> None:
    assert paired_overrides(text, OverridesParser.create()) == rows


def test_spaces_in_quotes_and_brackets_do_not_split() -> None:
    assert split_words("a='b c'  d=[1, {e: f}] g") == ["a='b c'", "d=[1, {e: f}]", "g"]


@pytest.mark.parametrize("text", ["a=1,2 b='x y',z", r"a='it\'s',b", "a='${model.name}-a',b", r"a='\${b}',c", "a=b\\"])
def test_the_sweeper_gets_the_text_as_typed(text: str) -> None:
    *others, moved = move_zips(["-m", f"zip({text})", "seed=1"])
    assert others == ["-m", "seed=1"]
    override = OverridesParser.create().parse_override(moved)
    assert override.key_or_group == "hydra.sweeper.zip"
    assert list(OmegaConf.create({"zip": override.value()}).zip) == [text]
