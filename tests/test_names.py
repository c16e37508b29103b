"""Names for people: one line of plain text, whatever they hold."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hinas_jax.data.names import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain.png", "plain.png"),
        ("d\u00e9j\u00e0 \u6f22.png".encode(), "d\u00e9j\u00e0 \u6f22.png"),
        (b"caf\xe9.png", r"caf\xe9.png"),
        (b"two\nlines", r"two\nlines"),
        (b"\x1b[2J", r"\x1b[2J"),
        ("\u202egnp.exe".encode(), r"\u202egnp.exe"),  # would be shown backwards
    ],
)
def test_what_cannot_be_shown_is_escaped(name, shown):
    assert printable(os.fsdecode(name)) == shown


@given(st.binary())
def test_any_bytes_give_one_line_that_can_be_encoded(name):
    shown = printable(os.fsdecode(name))
    assert shown.isprintable()
    shown.encode()
