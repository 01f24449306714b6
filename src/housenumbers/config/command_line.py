"""KEY=VALUE arguments for the small commands, typed by a dataclass. Training uses Hydra instead."""

import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from typing import TypeVar, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from housenumbers.config.constraints import check_constraints
from housenumbers.config.messages import expected_types, one_line
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
    known = list(config)
    unparsed = []
    for argument in argv:
        key, equals, _ = argument.partition("=")
        if not equals:
            raise UserError(f"{argument}: not KEY=VALUE (--help lists the keys)")
        try:
            if key in known:
                config = OmegaConf.merge(config, OmegaConf.from_dotlist([argument]))
            elif any(fnmatch(key, pattern) for pattern in others):
                unparsed.append(argument)
            else:
                raise UserError(f"{key}: no such key: use one of {', '.join([*map(str, known), *others])}")
        except OmegaConfBaseException as error:
            raise UserError(one_line(error, expected_types(schema))) from None
    for key in map(str, OmegaConf.missing_keys(config)):
        raise UserError(f"{key}={key.upper()}: must be given (--help says more)")
    arguments = cast(Arguments, OmegaConf.to_object(config))
    check_constraints(arguments)
    return arguments, unparsed
