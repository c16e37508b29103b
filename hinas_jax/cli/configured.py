"""Reading the arguments of a command that takes a config, of which every field can be replaced."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import tyro

from hinas_jax.cli.arguments import parse
from hinas_jax.cli.lines import tell
from hinas_jax.cli.mistakes import UsageError
from hinas_jax.config import load_config
from hinas_jax.named_configs import CONFIG_FILES, config_names

T = TypeVar("T")


def parse_configured(kind: type[T], words: list[str], command: str) -> T:
    """As ``parse``, but the first word names a config, which fills the field ``config``.

    Raises:
        UsageError: the words do not fit, or the first one is missing.
        ConfigError: there is no such config.
    """
    name, *words = words or [""]
    if name in ("-h", "--help"):
        name, words = config_names()[0], [name]
        tell(f"usage: hinas {command} CONFIG [--field value]...; defaults shown are those of the config {name}\n")
        tell(f"CONFIG: {', '.join(config_names())}; or the path of a file: {CONFIG_FILES}\n")
    if not name or name.startswith("-"):
        raise UsageError(f"hinas {command} needs a config first; known are {', '.join(config_names())}")
    missing = {field.name: tyro.MISSING for field in dataclasses.fields(kind) if _required(field)}  # type: ignore[arg-type]
    default = kind(**missing | {"config": load_config(name)})
    words = ["--compute.deterministic" if word == "--deterministic" else word for word in words]
    return parse(kind, words, command, default)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
