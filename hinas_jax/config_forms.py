"""What dataclasses of plain values need to be configs: the forms and ranges of their fields checked, and JSON read.

A mistake is told in one line that begins with the field's full name, like ``search.epochs``.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import sys
import typing
from typing import Any, Final, Literal

LARGEST: Final = 2**31 - 1  #: of a number whose meaning sets no limit: it fits the device's integers and floats


class ConfigError(ValueError):
    """A config, or a file that should hold one, is wrong. The message is one line for people."""


def require(ok: bool, message: str) -> None:
    """Raise ConfigError unless ``ok``."""
    if not ok:
        raise ConfigError(message)


def require_counts(part: object, prefix: str, *names: str) -> None:
    """Require whole numbers from 1 to LARGEST of the fields ``names``; ``prefix`` is the part's name, as search."""
    for name in names:
        value = getattr(part, name)
        require(1 <= value <= LARGEST, f"{prefix}.{name} must be a whole number of 1 to {LARGEST}, not {value}")


def require_rates(part: object, prefix: str, *names: str) -> None:
    """Require numbers above 0 and at most LARGEST."""
    for name in names:
        value = getattr(part, name)
        require(0 < value <= LARGEST, f"{prefix}.{name} must be above 0 and at most {LARGEST}, not {value}")


def require_parts(part: object, prefix: str, *names: str) -> None:
    """Require numbers of at least 0 and less than 1."""
    for name in names:
        value = getattr(part, name)
        require(0 <= value < 1, f"{prefix}.{name} must be at least 0 and less than 1, not {value}")


def require_not_negative(part: object, prefix: str, *names: str) -> None:
    """Require numbers from 0 to LARGEST."""
    for name in names:
        value = getattr(part, name)
        require(0 <= value <= LARGEST, f"{prefix}.{name} must be 0 to {LARGEST}, not {value}")


def require_forms(part: object, prefix: str = "") -> None:
    """Check the types, which Python itself does not, of all fields of a dataclass."""
    for name, hint in typing.get_type_hints(type(part)).items():
        value = getattr(part, name)
        require(_has_form(hint, value), f"{prefix}{name} has a value of the wrong form: {value!r}")


def _has_form(hint: Any, value: Any) -> bool:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return isinstance(value, tuple) and all(_has_form(arguments[0], item) for item in value)
    if origin is Literal:
        return any(type(value) is type(known) and value == known for known in arguments)
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, int | float) and abs(value) <= sys.float_info.max  # neither infinite nor NaN
    return isinstance(value, hint)


def from_document(kind: Any, document: Any, prefix: str) -> Any:
    """A dataclass from a JSON object.

    Args:
        kind: the dataclass; its fields may be dataclasses too.
        document: what ``json.loads`` gave.
        prefix: of the fields' names in messages: empty, or as "search.".

    Raises:
        ConfigError: no object, an unknown field, or a value of another form or out of its range.
    """
    if not isinstance(document, dict):
        raise ConfigError(f"{prefix.rstrip('.') or 'the config'} must be a JSON object")
    hints = typing.get_type_hints(kind)
    for name in document:
        if name not in hints:
            raise ConfigError(_unknown_field(prefix + name, [prefix + known for known in hints]))
    values = {name: _value(hints[name], value, prefix + name) for name, value in document.items()}
    try:
        return kind(**values)
    except ConfigError:
        raise
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{prefix.rstrip('.')}: {error}") from None


def _value(hint: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_document(hint, value, name + ".")
    if typing.get_origin(hint) is tuple and isinstance(value, list):
        return tuple(_value(typing.get_args(hint)[0], item, name) for item in value)
    if not _has_form(hint, value):
        raise ConfigError(f"{name} has a value of the wrong form: {json.dumps(value)}")
    return float(value) if hint is float else value


def _unknown_field(name: str, known: list[str]) -> str:
    """The one line that tells an unknown field, with the nearest known name."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"unknown field {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
