"""Names of files as lines for people: on one line, whatever bytes they hold."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text with an escape for all that cannot be shown: ``\x1b``, ``\n``, ``\xff`` for a byte that is no UTF-8."""
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    undecoded = 0xDC80 <= ord(char) <= 0xDCFF  # how Python carries a name's bytes that are no UTF-8
    return f"\\x{ord(char) - 0xDC00:02x}" if undecoded else char.encode("unicode_escape").decode()
