"""Text helpers for messages."""

import difflib
from collections.abc import Iterable, Sequence


def plural(count: int, noun: str) -> str:
    """ "1 seed", "2 seeds" or "1,000 seeds"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """ "42 s", "3.5 min" or "2.1 h"."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def first_few(names: Sequence[str], link: str = ", and") -> str:
    """ "a", "a, b" or "a, b, c, d, e, and 3 more"."""
    return ", ".join(names[:5]) + (f"{link} {len(names) - 5} more" if len(names) > 5 else "")


def closest(word: str, known: Iterable[str], cutoff: float) -> str | None:
    """The known word that is most similar to a misspelt one. None where no similarity, on 0..1, reaches `cutoff`."""
    return next(iter(difflib.get_close_matches(word, list(known), 1, cutoff)), None)


def closest_ignoring_case(word: str, known: Iterable[str], cutoff: float) -> str | None:
    """`closest`, where upper and lower case are equal."""
    by_lower = {other.lower(): other for other in known}
    return by_lower.get(closest(word.lower(), by_lower, cutoff) or "")
