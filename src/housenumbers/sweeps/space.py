"""The search space: unconditional parameters, and parameters that exist only with a certain option of a group."""

import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra_plugins.hydra_optuna_sweeper._impl import OptunaSweeperImpl, create_params_from_overrides
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from housenumbers.config.compose import assignment, is_sweep
from housenumbers.config.values import flatten
from housenumbers.runtime.errors import UserError

Distributions = dict[str, BaseDistribution]  # by dotted key
_FORMS = "give a choice(...), range(...) or interval(...)"
_REMEDIES = {  # for Optuna's reasons
    "low > 0": "begin it above 0, or leave out log",
    "low <= high": "write the lower bound first",
}


@dataclass
class Space:
    """`always` is drawn for every trial. `options[group][option]` is drawn only where the group has that option."""

    always: Distributions = field(default_factory=dict)
    options: dict[str, dict[str, Distributions]] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, list[str]]:
        """The searched groups of the configuration, with their options."""
        return {group: list(options) for group, options in self.options.items()}

    def keys(self) -> set[str]:
        """All keys that are drawn in all or in some trials."""
        inner = (key for _, _, space in self._conditional() for key in space)
        return {*self.always, *self.options, *inner}

    def distributions(self, chosen: Mapping[str, str]) -> Distributions:
        """The distributions of a trial with the options `chosen` for the groups."""
        distributions = dict(self.always)
        for group, options in self.options.items():
            distributions |= {group: CategoricalDistribution(list(options)), **options.get(chosen[group], {})}
        return distributions

    def draw(self, trial: optuna.Trial) -> None:
        """Draws the trial's parameters."""
        for key, distribution in self.always.items():
            trial._suggest(key, distribution)
        for group, options in self.options.items():
            option = trial._suggest(group, CategoricalDistribution(list(options)))
            for key, distribution in options[option].items():
                trial._suggest(key, distribution)

    def setting(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """The parameters of a trial with these `values` of keys and groups. None where a value is not in the space."""
        values = {key: _as_choice(value) for key, value in values.items()}
        if not all(values.get(group) in options for group, options in self.options.items()):
            return None
        distributions = self.distributions({group: values[group] for group in self.options})
        if not all(key in values and contains(distributions[key], values[key]) for key in distributions):
            return None
        return {key: values[key] for key in distributions}

    def samples(self) -> list[list[str]]:
        """Overrides to compose as a check: each value of each unconditional choice, and one value of each range."""
        lists = {key: value.choices for key, value in self.always.items() if isinstance(value, CategoricalDistribution)}
        choices = [[assignment(key, value)] for key, values in (lists | self.groups).items() for value in values]
        middles = {
            key: value.low if isinstance(value, IntDistribution) else (value.low + value.high) / 2
            for key, value in self.always.items()
            if isinstance(value, IntDistribution | FloatDistribution)
        }
        return [*choices, [f"{key}={value}" for key, value in middles.items()]]

    def identity(self) -> dict[str, Any]:
        """The space as plain data: equal for equal spaces."""
        flat = {key: json.loads(distribution_to_json(value)) for key, value in sorted(self.always.items())}
        for group, option, space in self._conditional():
            flat[f"{group}={option}"] = {key: json.loads(distribution_to_json(space[key])) for key in sorted(space)}
        return flat

    def grid(self) -> dict[str, Any]:
        """The values of each parameter, for the grid sampler. Raises UserError for options and for intervals."""
        if self.options:
            raise UserError("hydra/sweeper/sampler=grid: not for a space with options: choose another sampler")
        try:
            return {key: OptunaSweeperImpl._to_grid_sampler_choices(value) for key, value in self.always.items()}
        except ValueError:
            raise UserError("hydra/sweeper/sampler=grid: give choices or ranges, no intervals") from None

    def pin(self, key: str, value: Any) -> bool:
        """Fixes `key` to `value` instead of drawing it. Returns whether all trials need an override for it."""
        self.always.pop(key, None)
        if key in self.options:  # a group: the parameters of its option become unconditional
            self.always |= self.options.pop(key).get(str(value), {})
            return True
        conditional = [space for _, _, space in self._conditional() if key in space]
        for space in conditional:  # a single choice where the key exists
            space[key] = _only(value)
        return not conditional

    def narrow(self, key: str, distribution: BaseDistribution) -> None:
        """Replaces the distribution of `key`."""
        if key in self.options and isinstance(distribution, CategoricalDistribution):
            known = self.options[key]
            self.options[key] = {str(option): known.get(str(option), {}) for option in distribution.choices}
            return
        conditional = [space for _, _, space in self._conditional() if key in space]
        for space in conditional:
            space[key] = distribution
        if not conditional:
            self.always[key] = distribution

    def _conditional(self) -> Iterator[tuple[str, str, Distributions]]:
        for group, options in self.options.items():
            for option, space in options.items():
                yield group, option, space


def _as_choice(value: Any) -> Any:
    """The value as Hydra's sweeper writes it among choices: a list and None are texts, such as [1,1,1] and null."""
    return "null" if value is None else str(value).replace(" ", "") if isinstance(value, list) else value


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether the distribution can yield the value."""
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except (TypeError, ValueError):  # no choice, or no number
        return False


def read_space(params: Mapping[str, Any], arguments: list[str]) -> tuple[Space, dict[str, str], list[str]]:
    """The space of a file in conf/search, changed by the command line's `arguments`.

    Also returns the keys with one value in all trials, and the arguments that begin with `~`. The last of several
    overrides of a key wins: a value pins the key, a range narrows it. The order of different keys has no effect.
    """
    space = Space()
    for group, options in (params.get("choose") or {}).items():
        space.options[group] = {option: _distributions(inner or {}) for option, inner in options.items()}
    fixed: dict[str, str] = {}
    removed: list[str] = []
    unconditional = flatten({key: value for key, value in params.items() if key != "choose"})
    for override in [*_overrides(unconditional), *_groups_first(arguments, space.groups)]:
        if re.match(r"[^=]*=\s*shuffle\(", override):
            raise UserError(f"{override}: a search has no order: leave out shuffle()")
        ranges, values, without = parse_overrides([override])
        for typed, distribution in ranges.items():
            key = _same_key(typed, space.keys() | fixed.keys())
            fixed.pop(key, None)
            space.narrow(key, distribution)
        for typed, value in values.items():
            key = _same_key(typed, space.keys())
            if space.pin(key, value):
                fixed[key] = value
        removed += without
    return space, fixed, removed


def _groups_first(arguments: Sequence[str], groups: Container[str]) -> list[str]:
    """The arguments, of which the last one of each group comes first: it decides which keys are unconditional."""
    keys = {argument: argument.partition("=")[0].lstrip("+") for argument in arguments}
    chosen = {keys[argument]: argument for argument in arguments if keys[argument] in groups}
    return [*chosen.values(), *(argument for argument in arguments if keys[argument] not in groups)]


def _same_key(typed: str, known: Set[str]) -> str:
    """The known key that is `typed` with or without `+`: `++optimizer.lr` is the searched `optimizer.lr`, say."""
    return next((key for key in sorted(known) if key.lstrip("+") == typed.lstrip("+")), typed)


def parse_overrides(overrides: list[str]) -> tuple[Distributions, dict[str, Any], list[str]]:
    """Splits overrides into distributions, values and deletions. Raises UserError, which names the overrides."""
    try:
        parsed: tuple[Distributions, dict[str, Any], list[str]] = create_params_from_overrides(overrides)
    except (ValueError, AssertionError) as error:
        reason = str(error).rstrip(".") or "nothing that can be searched"
        remedy = next((remedy for part, remedy in _REMEDIES.items() if part in reason), _FORMS)
        raise UserError(f"{' '.join(overrides)}: {reason}: {remedy}") from None
    for key, distribution in parsed[0].items():
        _check_choices(key, getattr(distribution, "choices", ()))
    return parsed


def _check_choices(key: str, choices: Sequence[Any]) -> None:
    """Raises UserError for two choices that only their types tell apart, such as true and 1: Optuna takes the first."""
    for one, other in combinations(choices, 2):
        if one == other and type(one) is not type(other):
            texts = [str(choice).lower() for choice in (one, other)]
            raise UserError(f"{key}: the choices {' and '.join(texts)} are equal: leave out one of them")


def is_range(key: str, value: Any) -> bool:
    """Whether the value of a search file gives several values, or begins like a range: Hydra names what is wrong."""
    return is_sweep(f"{key}={value}") or bool(re.match(r"\w+\(", str(value)))


def _overrides(flat: Mapping[str, Any]) -> list[str]:
    """The keys and values of a search file as overrides. A text that is quoted in the file stays as it is."""
    return [
        f"{key}={value}" if is_range(key, value) or str(value).startswith(("'", '"')) else assignment(key, value)
        for key, value in flat.items()
    ]


def _distributions(nested: Mapping[str, Any]) -> Distributions:
    ranges, values, _ = parse_overrides(_overrides(flatten(nested)))
    return ranges | {key: _only(value) for key, value in values.items()}


def _only(value: str) -> CategoricalDistribution:
    """The single choice of an override's value, without quotes."""
    text = OverridesParser.create().parse_override(f"key={value}").value()
    return CategoricalDistribution([text if isinstance(text, str) else value])
