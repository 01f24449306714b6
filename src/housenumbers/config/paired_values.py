"""Paired values of a multirun: `zip(optimizer.lr=0.1,0.2 data.batch_size=16,32)` is two runs, not four.

Hydra's grammar has no such argument. So the command line hands its text to the sweeper as `hydra.sweeper.zip`, a list
of texts that presets may set, too. The sweeper reads each key's values with Hydra's own parser.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from housenumbers.runtime.errors import UserError

KEY = "hydra.sweeper.zip"
_START = "zip("
_CLOSING = {"[": "]", "{": "}", "(": ")"}


def is_zip(argument: str) -> bool:
    """Whether an argument of the command line pairs values."""
    return argument.startswith(_START)


def check_zip(argument: str, following: Sequence[str] = ()) -> None:
    """Raises UserError where `zip(...)` is not complete, or holds something else than KEY=VALUE,VALUE."""
    words = split_words(argument)
    if len(words) != 1 or not argument.rstrip().endswith(")"):
        whole = " ".join([argument, *following])
        hint = f": a space has cut it: write it in quotes: '{whole}'" if following and whole.endswith(")") else ""
        raise UserError(f"{argument}: must be zip(KEY=VALUE,VALUE KEY=VALUE,VALUE){hint}")
    _settings(_inside(argument))


def move_zips(arguments: Sequence[str]) -> list[str]:
    """The arguments with all `zip(...)` moved into `hydra.sweeper.zip`. Raises UserError outside of a multirun."""
    zips = [argument for argument in arguments if is_zip(argument)]
    if not zips:
        return list(arguments)
    flags = get_args_parser().parse_intermixed_args(list(arguments))
    if not flags.multirun and "hydra.mode=MULTIRUN" not in arguments:
        raise UserError(f"{zips[0]}: is several runs: add -m")
    texts = ",".join(_in_quotes(_inside(argument)) for argument in zips)
    return [*(argument for argument in arguments if not is_zip(argument)), f"{KEY}=[{texts}]"]


def paired_overrides(text: str, parser: OverridesParser) -> list[tuple[str, ...]]:
    """The overrides of each run for "optimizer.lr=0.1,0.2 data.batch_size=16,32".

    Raises UserError where the numbers of values differ, a key has no list of values, or a key comes twice.
    """
    columns = {}
    for key, setting in _settings(text).items():
        try:
            override = parser.parse_override(setting)
        except HydraException:
            raise UserError(f"zip({text}): {setting}: cannot be read: special characters need quotes") from None
        if override.key_or_group.startswith(("hydra.", "hydra/")):
            raise UserError(f"zip({text}): {key}: Hydra's own keys are the same for all runs: set it outside of zip()")
        if override.is_delete() or (override.is_sweep_override() and not override.is_discrete_sweep()):
            raise UserError(f"zip({text}): {setting}: must be KEY=VALUE,VALUE")
        plain = [] if override.is_sweep_override() else [override.get_value_element_as_str()]
        values = plain or override.sweep_string_iterator()
        columns[key] = [f"{override.get_key_element()}={value}" for value in values]
    if len({len(column) for column in columns.values()}) > 1:
        counts = ", ".join(f"{key} has {len(column)}" for key, column in columns.items())
        raise UserError(f"zip({text}): each key needs the same number of values: {counts}")
    return list(zip(*columns.values(), strict=True))


def zip_texts(value: Any) -> list[str]:
    """The texts in `hydra.sweeper.zip`. Raises UserError where it is not a list of texts."""
    if value is None:
        return []
    if not isinstance(value, Sequence) or not all(isinstance(text, str) for text in value) or isinstance(value, str):
        raise UserError(f"{KEY}={value}: must be a list of texts, ['KEY=VALUE,VALUE KEY=VALUE,VALUE']")
    return list(value)


def check_separate(texts: Iterable[str], others: Iterable[str]) -> None:
    """Raises UserError where a key is in two of the `texts` or among the `others`, keys outside of zip()."""
    seen = set(others)
    for text in texts:
        keys = _settings(text).keys()
        if both := sorted(keys & seen):
            raise UserError(f"zip({text}): {both[0]}: is given twice: leave out one")
        seen |= keys


def split_words(text: str) -> list[str]:
    """Splits at the spaces outside quotes and brackets."""
    words, word, open_brackets, quote = [], "", "", ""
    letters = iter(text)
    for letter in letters:
        if letter.isspace() and not open_brackets and not quote:
            words.append(word)
            word = ""
            continue
        word += letter
        if letter == "\\":
            word += next(letters, "")
        elif quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _CLOSING:
            open_brackets += _CLOSING[letter]
        elif open_brackets.endswith(letter):
            open_brackets = open_brackets[:-1]
    words.append(word)
    return [word for word in words if word]


def _settings(text: str) -> dict[str, str]:
    """Each KEY=VALUES of the text by its key, without Hydra's `+`."""
    settings: dict[str, str] = {}
    for word in split_words(text):
        key, equals, _ = word.partition("=")
        key = key.lstrip("+")
        if not key or not equals:
            raise UserError(f"zip({text}): {word}: must be KEY=VALUE,VALUE, and a value with spaces in quotes")
        if key in settings:
            raise UserError(f"zip({text}): {key}: is given twice: leave out one")
        settings[key] = word
    if not settings:
        raise UserError(f"zip({text}): must be zip(KEY=VALUE,VALUE KEY=VALUE,VALUE)")
    return settings


def _inside(argument: str) -> str:
    return argument.strip().removeprefix(_START).removesuffix(")")


def _in_quotes(text: str) -> str:
    """The text as a value in Hydra's grammar that stays as it is: without OmegaConf's interpolation."""
    literal = re.sub(r"(\\*)\$\{", lambda match: 2 * match[1] + r"\${", text)
    return QuotedString(literal, Quote.single).with_quotes()
