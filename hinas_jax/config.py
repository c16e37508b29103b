"""Configs: frozen, checked, documented, and JSON both ways. Every field says its meaning and unit under itself.

A named config is a Python file in configs/ that sets ``config``; the command line may replace any field of it.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any, Literal, TypeVar

from hinas_jax.architecture import LARGEST_FACTOR, LARGEST_FILE
from hinas_jax.config_forms import (
    ConfigError,
    from_document,
    require,
    require_counts,
    require_forms,
    require_not_negative,
    require_parts,
    require_rates,
)
from hinas_jax.losses import PixelLoss
from hinas_jax.metrics import SSIM_WINDOW
from hinas_jax.named_configs import config_folder, config_names
from hinas_jax.space.operations import Precision, Remat
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.tasks import Draw, Task, TaskName, build_task

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """What is restored."""

    name: TaskName = "denoise"
    """denoise: additive Gaussian noise. super_resolve: bicubic reduction. deblock: JPEG artefacts. deblur: Gaussian
    blur. paired: real degradations, of which data.root shows clean and degraded pictures. Fields of other tasks than
    this are not looked at."""
    sigmas: tuple[float, ...] = (30.0, 50.0, 70.0)
    """Denoising: noise levels in grey levels of 0 to 255."""
    scale: int = 1
    """Super-resolution: 2, 3, 4 or 8. Other tasks: 1."""
    qualities: tuple[int, ...] = (10, 20, 30, 40)
    """JPEG artefacts: qualities from 1 (worst) to 100."""
    blurs: tuple[float, ...] = (1.6,)
    """Gaussian blur: standard deviations of the kernel, in pixels."""
    draw: Draw = "set"
    """Of several sigmas, qualities or blurs, what is drawn for each patch. set: one of them. range: any between the
    least and the greatest."""
    channels: Literal[1, 3] = 1
    """1: grey. 3: RGB."""
    residual: bool = True
    """Residual learning (section 3.3): the input, enlarged for super-resolution, is added to the output."""

    def __post_init__(self) -> None:
        require_forms(self, "task.")
        try:
            scale = self.build().scale
        except ValueError as error:
            raise ConfigError(f"task.{error}") from None
        require(scale == self.scale, f"task.scale must be {scale} for the task {self.name}, not {self.scale}")

    def build(self) -> Task:
        """The task itself."""
        return build_task(self.name, dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Which pictures."""

    root: str = "bundled"
    """A folder (DIR/train, DIR/val and DIR/test where these exist, else one flat or nested set), tfds:NAME, or bundled
    for the pictures that come with scikit-image."""
    exclude: tuple[str, ...] = ()
    """Names (file names without suffix) to leave out."""
    residence: Literal["auto", "device", "host"] = "auto"
    """Where the pictures lie during a run: on the device, or in the host's memory, from where grain streams the patches
    (the same ones). auto: on the device, unless they would take more than half of its memory."""
    validation_fraction: float = 0.02
    """Part of the training pictures held back as V (section 4.1), one picture at least."""

    def __post_init__(self) -> None:
        require_forms(self, "data.")
        require(bool(self.root), "data.root is empty; give a folder, tfds:NAME or bundled")
        ok = 0 < self.validation_fraction < 1
        require(ok, f"data.validation_fraction must lie between 0 and 1, not {self.validation_fraction}")


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Eq. 7."""

    ssim_weight: float = 0.6
    """lambda, the weight of log10(1 / SSIM)."""
    pixel_loss: PixelLoss = "l2"
    """l2: mean squared error (the paper). l1: mean absolute error."""

    def __post_init__(self) -> None:
        require_forms(self, "loss.")
        require_not_negative(self, "loss", "ssim_weight")


@dataclasses.dataclass(frozen=True)
class ComputeConfig:
    """How it is computed: memory and speed, not results (bfloat16: to its rounding)."""

    precision: Precision = "float32"
    """Type of the features in search and training. bfloat16 halves their memory; parameters, alpha, beta, statistics
    and loss stay float32."""
    remat: Remat = "none"
    """While searching, computed again for the gradient instead of kept: nothing, the inner values of each cell, or of
    each operation. Less memory, more time."""
    deterministic: bool = False
    """On a GPU, only operations that give the same bits every time, without trying out which is fastest: the same seed
    gives the same architecture again, in more time. On a CPU it is so in any case. --deterministic says the same."""
    checkpoint_seconds: float = 300.0
    """Seconds between two checkpoints within an epoch, or between two validations; the clock is looked at after every
    call: after each step on a CPU, after 50 or fewer elsewhere. They are written in the background, and change no
    result."""

    def __post_init__(self) -> None:
        require_forms(self, "compute.")
        ok = self.checkpoint_seconds > 0
        require(ok, f"compute.checkpoint_seconds must be above 0, not {self.checkpoint_seconds:g}")


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """Section 3.4 and the search settings of 4.1."""

    epochs: int = 100
    """Epochs in all."""
    warmup: float = 0.2
    """Part of the epochs, from the first, that update the kernels only (the paper: 20 of 100)."""
    evaluate_after: float = 0.6
    """Part of the epochs after which every epoch is evaluated on V (the paper: from epoch 61 of 100). The last epoch
    always is."""
    batch_size: int = 8
    """Patches a step."""
    patch: int = 64
    """Side of the degraded patches, and of the tiles of evaluation, in pixels."""
    crops_per_picture: int = 1
    """Patches from each picture of W in an epoch."""
    learning_rate: float = 0.025
    """Kernels: SGD's first learning rate."""
    final_learning_rate: float = 0.001
    """Kernels: where the cosine ends."""
    momentum: float = 0.9
    """Kernels: SGD's momentum."""
    weight_decay: float = 3e-4
    """Kernels: weight decay, added to the gradient."""
    gradient_clip: float = 0.5
    """Kernels: largest global norm of the gradient, before weight decay; 0: any, as in the paper (with 5 or more the
    first epochs of our searches diverged)."""
    arch_learning_rate: float = 1e-3
    """alpha and beta: Adam's learning rate."""
    arch_weight_decay: float = 1e-3
    """alpha and beta: weight decay, added to the gradient."""
    arch_gradient: Literal["first-order", "second-order"] = "first-order"
    """alpha and beta: the gradient of the loss on A with the kernels as they are (the paper), or after the step on W
    that alpha and beta bring (DARTS's unrolled gradient, slower; docs/search_options.md)."""
    parameter_weight: float = 0.0
    """alpha and beta: loss for each million parameters that the network is expected to have; 0: none, as in the
    paper."""
    early_stop: Literal["none", "rank-stable", "skip-count"] = "none"
    """When to end before the last epoch (docs/search_options.md): never, as in the paper; once the ranking of alpha has
    not changed for stable_epochs epochs; or once a cell has skip_limit skip connections."""
    stable_epochs: int = 10
    """Epochs that early_stop=rank-stable waits."""
    skip_limit: int = 2
    """Skip connections in one cell at which early_stop=skip-count ends the search."""

    def __post_init__(self) -> None:
        require_forms(self, "search.")
        require_counts(self, "search", "epochs", "batch_size", "patch", "crops_per_picture")
        require_counts(self, "search", "stable_epochs", "skip_limit")
        require_rates(self, "search", "learning_rate", "final_learning_rate", "arch_learning_rate")
        ok = self.final_learning_rate <= self.learning_rate
        require(
            ok,
            f"search.final_learning_rate must not exceed search.learning_rate, but {self.final_learning_rate:g} does",
        )
        require_parts(self, "search", "warmup", "evaluate_after", "momentum")
        require_not_negative(self, "search", "gradient_clip", "weight_decay", "arch_weight_decay")
        require_not_negative(self, "search", "parameter_weight")

    @property
    def warmup_epochs(self) -> int:
        """Epochs that update the kernels only."""
        return int(round(self.warmup * self.epochs, 6))  # 0.29 of 100 is 28.999999999999996

    def evaluated(self, epoch: int) -> bool:
        """Whether V is evaluated after ``epoch`` (counted from 1)."""
        return epoch > round(self.evaluate_after * self.epochs, 6) or epoch == self.epochs


@dataclasses.dataclass(frozen=True)
class DecodeConfig:
    """How an architecture is read off alpha and beta."""

    max_skips: int | None = None
    """Skip connections that a cell keeps at most: the strongest ones; other edges or operations take the place of the
    rest. 0: none. None: any number, as in the paper."""

    def __post_init__(self) -> None:
        require_forms(self, "decode.")
        ok = self.max_skips is None or self.max_skips >= 0
        require(ok, f"decode.max_skips must be 0 or more, or None for any number, not {self.max_skips}")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The training settings of section 4.1."""

    steps: int = 400_000
    """Updates in all."""
    batch_size: int = 24
    """Patches a step."""
    patch: int = 64
    """Side of the degraded patches, in pixels."""
    recipe: Literal["paper", "modern"] = "paper"
    """paper: SGD, momentum 0.9, weight decay 4e-5, polynomial decay of power 0.9.
    modern: AdamW, cosine decay after a short rise."""
    learning_rate: float = 0.05
    """First learning rate (paper: 0.05 with SGD; 0.002 suits the modern recipe)."""
    gradient_clip: float = 0.5
    """Largest global norm of the gradient, before weight decay; 0: any, as in the paper (our trainings then diverge
    within 20 steps, and so they do with the released code's clipping of each value at 5)."""
    width_scale: float = 2.0
    """Factor on the base width that was searched with."""
    warm_start: str = ""
    """Folder of a finished search whose kernels to start from (needs width_scale 1); empty: fresh kernels."""
    validate_every: int = 1000
    """Steps between two evaluations on V; the best network is kept."""

    def __post_init__(self) -> None:
        require_forms(self, "train.")
        require_counts(self, "train", "steps", "batch_size", "patch", "validate_every")
        require_rates(self, "train", "learning_rate")
        ok = 0 < self.width_scale <= LARGEST_FACTOR
        require(ok, f"train.width_scale must be above 0 and at most {LARGEST_FACTOR}, not {self.width_scale}")
        require_not_negative(self, "train", "gradient_clip")
        ok = not self.warm_start or self.width_scale == 1
        require(ok, f"train.warm_start needs train.width_scale 1, not {self.width_scale}")


@dataclasses.dataclass(frozen=True)
class Config:
    """A whole experiment: search, then training of what was found."""

    seed: int = 0
    """Seed of the splits, the initial kernels, the patches and the noise."""
    task: TaskConfig = dataclasses.field(default_factory=TaskConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    space: SearchSpace = dataclasses.field(default_factory=SearchSpace)
    loss: LossConfig = dataclasses.field(default_factory=LossConfig)
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
    decode: DecodeConfig = dataclasses.field(default_factory=DecodeConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    compute: ComputeConfig = dataclasses.field(default_factory=ComputeConfig)

    def __post_init__(self) -> None:
        require_forms(self)
        require_forms(self.space, "space.")
        require(0 <= self.seed < 2**32, f"seed must lie in 0..{2**32 - 1}, not {self.seed}")
        for part, patch in (("search", self.search.patch), ("train", self.train.patch)):
            least = -(-SSIM_WINDOW // self.task.scale)
            require(patch >= least, f"{part}.patch must be {least} or more (the SSIM's window), not {patch}")

    def to_json(self) -> str:
        """The config as indented JSON; ``from_json`` gives it back."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Config:
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: not JSON, an unknown field, or a value out of its range.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"not JSON: {error}") from None
        config: Config = from_document(cls, document, "")
        return config


def load_config(name: str) -> Config:
    """A config by name, by the path of a Python file that sets ``config``, or of a run's config.json.

    A Python file is executed: give only files that you trust. A JSON file is data, of at most LARGEST_FILE bytes.

    Raises:
        ConfigError: no such config, or the file holds none.
    """
    named = name in config_names()
    path = config_folder() / f"{name}.py" if named else Path(name)
    try:
        there = path.is_file() and path.suffix in (".py", ".json")
    except OSError:  # a name that is too long, or a folder that cannot be entered
        there = False
    if not there:
        raise ConfigError(f"there is no config {name!r}; known are {', '.join(config_names())}, or give a file's path")
    try:
        if path.suffix == ".json":
            if path.stat().st_size > LARGEST_FILE:
                raise ConfigError(f"larger than {LARGEST_FILE:,} bytes; give a run's config.json")
            return Config.from_json(path.read_text())
        config: Config = run_config_file(path, "config", Config)
        return config
    except (ConfigError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None


def differing_fields(one: Config, other: Config) -> list[str]:
    """Names of the fields in which two configs differ, like ``search.epochs``."""
    return _differences(dataclasses.asdict(one), dataclasses.asdict(other), "")


def run_config_file(path: Path, name: str, kind: type[T]) -> T:
    """Execute a Python file and take what it sets as ``name``.

    Raises:
        ConfigError: it cannot be run, or sets no such thing.
    """
    spec = importlib.util.spec_from_file_location(f"hinas_config_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # a .py file always has both
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ValueError:
        raise
    except Exception as error:  # whatever the caller's file raises is to be mended there
        raise ConfigError(f"cannot be run ({type(error).__name__}: {error})") from None
    thing = getattr(module, name, None)
    if not isinstance(thing, kind):
        raise ConfigError(f"does not set `{name}` to a hinas_jax.{kind.__name__}")
    return thing


def _differences(one: Any, other: Any, prefix: str) -> list[str]:
    if isinstance(one, dict):
        return [name for key in one for name in _differences(one[key], other[key], f"{prefix}{key}.")]
    return [] if one == other else [prefix.rstrip(".")]
