"""KEY=VALUE arguments for the small commands, typed by a dataclass. Training uses Hydra instead."""

import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from housenumbers.config.constraints import check_constraints
from housenumbers.config.messages import TYPE_NAMES, expected_types, one_line
from housenumbers.runtime.errors import UserError

Arguments = TypeVar("Arguments")


def parse(schema: type[Arguments], argv: Sequence[str], others: Sequence[str] = ()) -> tuple[Arguments, list[str]]:
    """Parses `argv` into a `schema`. Also returns the arguments whose key matches a pattern in `others`, unparsed.

    `--help` prints the schema's docstring and exits. Raises UserError for an argument that is not KEY=VALUE, an unknown
    key, a value of another type or outside its range, and a required key that is missing.
    """
    if {"--help", "-h"} & set(argv):
        print(schema.__doc__)
        sys.exit(0)
    config = OmegaConf.structured(schema)
    known, kinds = list(config), expected_types(schema)
    unparsed = []
    for argument in argv:
        key, equals, _ = argument.partition("=")
        if not equals:
            raise UserError(f"{argument}: not KEY=VALUE (--help lists the keys)")
        try:
            if key in known:
                config = OmegaConf.merge(config, dotlist_config([argument], kinds))
            elif any(fnmatch(key, pattern) for pattern in others):
                unparsed.append(argument)
            else:
                raise UserError(f"{key}: no such key: use one of {', '.join([*map(str, known), *others])}")
        except OmegaConfBaseException as error:
            raise UserError(one_line(error, kinds)) from None
    for key in map(str, OmegaConf.missing_keys(config)):
        raise UserError(f"{key}={key.upper()}: must be given (--help says more)")
    arguments = cast(Arguments, OmegaConf.to_object(config))
    check_constraints(arguments)
    return arguments, unparsed


def dotlist_config(words: Sequence[str], kinds: Mapping[str, str]) -> DictConfig:
    """KEY=VALUE `words` as a configuration. `kinds` are the types of keys as `expected_types` describes them.

    A text is taken as typed, but for quotes around it, since paths may hold what YAML reads as a comment, a list or a
    number. Other values are YAML. Raises UserError where they are not, and OmegaConfBaseException for an invalid key.
    """
    config = OmegaConf.create()
    for word in words:
        key, _, value = word.partition("=")
        if kinds.get(key, "").startswith(TYPE_NAMES[str]) and value not in ("", "null"):
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            OmegaConf.update(config, key, value[quoted : len(value) - quoted].replace("${", r"\${"))
            continue
        try:
            config.merge_with_dotlist([word])
        except YAMLError:
            raise UserError(f"{word}: cannot be read: put it in quotes, as in {key}=\"'VALUE'\"") from None
    return config
