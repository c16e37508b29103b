"""Writing lines for people."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Write a line on what goes on, to the standard error."""
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def tell(line: str) -> None:
    """Write a line of the result, to the standard output; what that cannot encode, as a path's stray bytes, escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding), flush=True)  # noqa: T201
