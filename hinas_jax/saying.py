"""Lines for people: where they go, and what one of them says of an error."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its name where it has none; at most 300 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
