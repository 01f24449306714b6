"""What a declared constraint says in words, and that its words and its check agree."""

from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any

import pytest
from annotated_types import Ge, Gt, Interval, MaxLen, MinLen, Unit

from housenumbers.config.constraints import Predicate, Rules, annotated_hints, check_constraints, describe
from housenumbers.config.groups import COMMON, SCHEMAS
from housenumbers.config.schema import TrainConfig
from housenumbers.runtime.errors import UserError

AT_LEAST_ONE = Annotated[int, Ge(1), Unit("epoch")]


@dataclass
class Inner:
    pair: Annotated[list[Annotated[float, Gt(0)]], MinLen(2), MaxLen(2)]


@dataclass
class Outer:
    epochs: AT_LEAST_ONE
    share: Annotated[float, Interval(gt=0, lt=1)] | None
    inner: Inner
    named: dict[Annotated[str, Predicate(str.isidentifier, "a name")], Annotated[Any, Predicate(callable, "callable")]]

    def rules(self) -> Rules:
        yield self.epochs != 13, "epochs", "another number"
        yield sum(self.inner.pair) < 10, "inner.pair", "small in sum"


def outer(**values: Any) -> Outer:
    return Outer(**{"epochs": 1, "share": None, "inner": Inner([1.0, 2.0]), "named": {}} | values)


def test_values_within_all_constraints_pass() -> None:
    check_constraints(outer())
    check_constraints(outer(share=0.5, named={"length": len}))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epochs": 0}, "epochs=0: must be 1 epoch or more"),
        ({"share": 1.0}, "share=1.0: must be between 0 and 1, or null"),
        ({"share": float("nan")}, "share=nan: must be between 0 and 1, or null"),
        ({"inner": Inner([1.0])}, "inner.pair=[1.0]: must be a list of 2 values, each value above 0"),
        ({"inner": Inner([1.0, 0.0])}, "inner.pair=[1.0, 0.0]: must be a list of 2 values, each value above 0"),
        ({"named": {"1": len}}, f"named.1={len}: must be a name"),
        ({"named": {"length": 3}}, "named.length=3: must be callable"),
        ({"epochs": 13}, "epochs=13: must be another number"),
        ({"inner": Inner([5.0, 6.0])}, "inner.pair=[5.0, 6.0]: must be small in sum"),
    ],
)
def test_a_value_outside_is_named_with_what_it_must_be(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        check_constraints(outer(**values), "")
    assert str(caught.value) == said


def test_the_prefix_is_part_of_the_key() -> None:
    with pytest.raises(UserError, match=r"^part\.inner\.pair="):
        check_constraints(outer(inner=Inner([])), "part.")


def declared() -> Iterator[tuple[str, Any]]:
    schemas = [TrainConfig, *COMMON.values(), *(schema for group in SCHEMAS.values() for schema, _ in group.values())]
    while schemas:
        schema = schemas.pop()
        for name, hint in annotated_hints(schema).items():
            if is_dataclass(hint):
                schemas.append(hint)  # type: ignore[arg-type]  # it is a class
            else:
                yield f"{schema.__name__}.{name}", hint


@pytest.mark.parametrize(("name", "hint"), [item for item in declared() if hasattr(item[1], "__metadata__")])
def test_every_declared_constraint_has_words(name: str, hint: Any) -> None:
    assert describe(hint), name
    assert "None" not in describe(hint), name
