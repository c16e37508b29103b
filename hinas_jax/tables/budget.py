"""Less than the paper's schedule: a fraction of the epochs and steps, and below TOY smaller nets and pictures too.

The method stays what it is; every field that a budget changes is told in the table's note.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from hinas_jax.config import Config, differing_fields
from hinas_jax.config_forms import ConfigError
from hinas_jax.data.sources import BUNDLED
from hinas_jax.tables.definition import with_fields

TOY: Final = 0.02  #: budgets below this shrink the space, the patches and the test sets as well
TOY_TEST_PICTURES: Final = 3  #: of each set
TOY_DRAWS: Final = 2  #: of a random change, for each seed

#: What below TOY a config is held to; what is smaller already stays.
_TOY_LIMITS: Final = {
    "space.layers": 2, "space.nodes": 2, "space.base_width": 4, "space.start_width": 16, "space.end_width": 16,
    "search.epochs": 2, "search.batch_size": 4, "train.steps": 200, "train.batch_size": 8,
    "data.validation_fraction": 0.005,
}  # fmt: skip
_TOY_LEVELS: Final = 2
_TOY_PATCH: Final = {1: 32, 2: 24, 3: 20, 4: 16}  #: by scale
_BUNDLED_CROPS: Final = 10  #: patches from each of the few pictures that come along, in an epoch
_LEAST_EPOCHS: Final = 2
_LEAST_STEPS: Final = 40
_EVALUATIONS: Final = 2  #: of a training, at least


@dataclasses.dataclass(frozen=True)
class Budget:
    """A fraction of the paper's schedule, above 0 and up to 1.

    Raises:
        ConfigError: it is out of that range.
    """

    fraction: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"--budget must be above 0 and up to 1, not {self.fraction:g}")

    @property
    def toy(self) -> bool:
        """Whether sizes shrink too, so that two CPU cores need minutes and the results say little."""
        return self.fraction < TOY

    @property
    def test_pictures(self) -> int | None:
        """How many pictures of each test set are measured; None: all."""
        return TOY_TEST_PICTURES if self.toy else None

    def draws(self, wanted: int) -> int:
        """How often a random change is drawn."""
        return min(wanted, TOY_DRAWS) if self.toy else wanted

    def apply(self, config: Config) -> Config:
        """The config at this budget: never more epochs, steps or channels than it had."""
        if self.fraction == 1:
            return config
        epochs = _part(config.search.epochs, self.fraction, _LEAST_EPOCHS)
        steps = _part(config.train.steps, self.fraction, _LEAST_STEPS)
        config = with_fields(config, {"search.epochs": epochs, "train.steps": steps})
        if self.toy:
            config = with_fields(config, _toy_fields(config))
        steps = config.train.steps
        every = max(1, min(config.train.validate_every, steps // _EVALUATIONS))
        return with_fields(config, {"train.validate_every": every, "train.steps": steps // every * every})


def changes(full: Config, shrunk: Config) -> list[str]:
    """What a budget changed, field by field, for people."""
    return [f"{name}: {_get(shrunk, name)} instead of {_get(full, name)}" for name in differing_fields(full, shrunk)]


def _part(whole: int, fraction: float, least: int) -> int:
    return max(min(whole, least), round(whole * fraction))


def _toy_fields(config: Config) -> dict[str, Any]:
    fields: dict[str, Any] = {name: min(limit, _get(config, name)) for name, limit in _TOY_LIMITS.items()}
    patch = _TOY_PATCH.get(config.task.scale, min(_TOY_PATCH.values()))
    fields |= {
        "space.width_factors": config.space.width_factors[:_TOY_LEVELS],
        "search.patch": min(config.search.patch, patch),
        "train.patch": min(config.train.patch, patch),
    }
    if config.data.root == BUNDLED:
        fields["search.crops_per_picture"] = max(config.search.crops_per_picture, _BUNDLED_CROPS)
    return fields


def _get(config: Config, name: str) -> Any:
    part, field = name.split(".")
    return getattr(getattr(config, part), field)
