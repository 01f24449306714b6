"""Arguments of the small commands: texts are taken as typed, all else is read as YAML."""

from dataclasses import dataclass
from typing import Any

import pytest
from support import composed

from housenumbers.config.command_line import parse
from housenumbers.config.validate import load_saved_config
from housenumbers.config.values import config_to_dict
from housenumbers.runtime.errors import UserError


@dataclass
class Arguments:
    """The help."""

    run: str = "last"
    folder: str | None = None
    runs: list[str] | None = None
    limit: int | None = None


TEXTS = ["[old", "@backup", "${x}", "a ${x} b", "outputs/try #2", "2024_01_01", "0123", "1e3", "a: b", "{", "true", "~"]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_taken_as_typed(text: str) -> None:
    arguments, _ = parse(Arguments, [f"run={text}", f"folder={text}"])
    assert (arguments.run, arguments.folder) == (text, text)
    config = load_saved_config(config_to_dict(composed("data=digits")), "saved", [f"data.root=/data/{text}"])
    assert config.data.root == f"/data/{text}"


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("run='a b'", {"run": "a b"}),
        ("folder=null", {"folder": None}),
        ("runs=[a,b]", {"runs": ["a", "b"]}),
        ("limit=3", {"limit": 3}),
        ("limit=null", {"limit": None}),
    ],
)
def test_quotes_null_lists_and_numbers(word: str, values: dict[str, Any]) -> None:
    arguments, _ = parse(Arguments, [word])
    assert vars(arguments) == vars(Arguments()) | values


@pytest.mark.parametrize("word", ["runs=[a", "limit=[", "limit=x", "nonsense=1", "run"])
def test_what_cannot_be_read_is_one_line(word: str) -> None:
    with pytest.raises(UserError, match=word.partition("=")[0]):
        parse(Arguments, [word])
