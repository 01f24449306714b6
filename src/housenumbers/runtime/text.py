"""Text helpers for messages."""


def plural(count: int, noun: str, several: str | None = None) -> str:
    """ "1 seed", "2 seeds" or "1,000 seeds"; `several` is the plural of a noun that does not take an s."""
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"
