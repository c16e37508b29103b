"""What a table of the paper is: which networks it compares, measured how. The definitions are in configs/tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, Literal

from hinas_jax.config import Config, run_config_file
from hinas_jax.config_forms import ConfigError
from hinas_jax.named_configs import config_folder

Change = Literal["none", "R1", "R2", "one level", "rising"]
Figure = Literal["none", "widths", "cells", "trade-off"]

NUMBERS: Final = range(1, 13)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One of the networks that a table compares: how it comes about, as far as it differs from the base config."""

    name: str
    """The row's name."""
    architecture: Literal["searched", "random"] = "searched"
    """searched: by the base config. random: drawn from the same space, all architectures equally likely."""
    change: Change = "none"
    """To the architecture before training: R1 and R2 of section 4.2.4; all layers of one width level, or rising."""
    draws: int = 1
    """How often a random change is drawn, for each seed."""
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the config in search and training, by their names on the command line."""
    training_fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of the config in the training alone."""


#: The baseline that the paper lacks, a row of every table.
RANDOM: Final = Variant("drawn at random", architecture="random")


@dataclasses.dataclass(frozen=True)
class Shown:
    """A picture that the paper shows restored."""

    picture: str
    """Its number in its set, as the paper writes it."""
    set: str = ""
    """Of super-resolution: one of the table's sets. Denoising has one set."""
    sigma: float | None = None
    """Of denoising."""
    scale: int = 1
    """Of super-resolution."""

    @property
    def level(self) -> str:
        """The strength in words."""
        return f"x{self.scale}" if self.sigma is None else f"sigma {self.sigma:g}"


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of the paper."""

    number: int
    """As in the paper."""
    title: str
    """What it compares."""
    bases: tuple[Config, ...]
    """The experiments that all variants start from: one, or one for each scale of super-resolution."""
    variants: tuple[Variant, ...]
    """The networks, in the table's order."""
    sigmas: tuple[float, ...] = ()
    """Denoising: the noise levels, with a network trained for each."""
    sets: tuple[str, ...] = ()
    """Super-resolution: the sets of test pictures."""
    compared: tuple[str, str] | None = None
    """Two variants, the second of which is set over the first in rows of differences, as the paper's last row does."""
    search_cost: bool = False
    """Whether the search's seconds and memory are columns."""
    inference: bool = False
    """Whether the inference's seconds are a column."""
    figure: Figure = "none"
    """The figure of the paper that goes with it."""
    shown: tuple[Shown, ...] = ()
    """The pictures that the paper shows restored, in another figure."""


def load_table(number: int) -> Table:
    """The definition in configs/tables/table_NUMBER.py.

    Raises:
        ConfigError: there is no such table.
    """
    if number not in NUMBERS:
        raise ConfigError(f"there is no table {number}; the paper has 1 to {NUMBERS[-1]}, see hinas table --list")
    table: Table = run_config_file(config_folder() / "tables" / f"table_{number}.py", "table", Table)
    return table


def with_fields(config: Config, fields: Mapping[str, Any]) -> Config:
    """The config with some fields replaced, by their names on the command line, as ``{"search.epochs": 2}``.

    Raises:
        ConfigError: a value is out of its range.
    """
    for name, value in fields.items():
        part, _, field = name.rpartition(".")
        if part:
            config = dataclasses.replace(config, **{part: dataclasses.replace(getattr(config, part), **{field: value})})
        else:
            config = dataclasses.replace(config, **{field: value})
    return config
