"""Training an Architecture from scratch, or from the supernet's kernels (section 4.1). The best on V is kept."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from pathlib import Path
from typing import Any, Final

import jax
from flax.serialization import msgpack_restore, msgpack_serialize
from jax.sharding import Mesh
from jaxtyping import Array, Int32, PRNGKeyArray

from hinas_jax.architecture import Architecture
from hinas_jax.batching import Batch, fit_batch
from hinas_jax.checkpoints import Checkpoints
from hinas_jax.compiling import compile_step, steps_per_call
from hinas_jax.config import Config, TrainConfig, load_config
from hinas_jax.config_forms import ConfigError
from hinas_jax.data.patches import Draws, PatchSource, sizes_of
from hinas_jax.data.sources import PictureSet
from hinas_jax.divergence import DivergenceError, Outcome, group_names, mend
from hinas_jax.drawing import draw_architecture
from hinas_jax.feeding import Feed, load_parts, most_steps, picture_bytes, resident_feed, streamed_feed, streams
from hinas_jax.looping import Best, Loop, Plan
from hinas_jax.mesh import describe_mesh, make_mesh, replicate, whole
from hinas_jax.modelfile import Model
from hinas_jax.objective import f_net
from hinas_jax.processes import agree, from_first, is_first, require_same
from hinas_jax.progress import Progress
from hinas_jax.run_files import Row
from hinas_jax.runs import RunFolder
from hinas_jax.saying import Say
from hinas_jax.space.inherit import inherit
from hinas_jax.space.initialise import initialise
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.tasks import Task, crop_side
from hinas_jax.trainer import Trainer, TrainState, make_trainer, train_draws, train_steps
from hinas_jax.validation import Score, Validation

Tree = Any

LARGEST_BATCH: Final = 4096  #: that --batch auto chooses: more gains no speed


def training_stream(trainer: Trainer, key: PRNGKeyArray, pictures: PictureSet, config: TrainConfig, count: int) -> Feed:
    """The patches that ``train_steps`` takes with this key, ``count`` steps a call, from the host."""
    side, sizes = crop_side(trainer.task, config.patch), sizes_of(pictures)

    def draw(key: PRNGKeyArray, number: Int32[Array, ""]) -> Draws:
        return train_draws(key, number * count, sizes, count=count, batch=config.batch_size, side=side)[0]

    mesh = trainer.mesh
    assert isinstance(mesh, Mesh)  # an abstract one is for lowering only
    return streamed_feed(pictures, mesh, key, draw, side=side, calls=config.steps // count)


def train(
    config: Config,
    architecture: Architecture,
    workdir: Path,
    *,
    restart: bool = False,
    batch: Batch = "config",
    say: Say = print,
) -> Model:
    """Train an architecture, or go on with a training that was interrupted.

    Args:
        config: the experiment.
        architecture: as searched; ``config.train.width_scale`` widens it.
        workdir: the run's folder; model.safetensors there always holds the best so far.
        restart: begin anew in a folder that holds a run.
        batch: "auto" for as many patches a step as fit into the device's memory.
        say: where lines for people go.

    Returns:
        The model that did best on V.

    Raises:
        ConfigError: ``workdir`` holds another run, or another process runs there, or the architecture is of another
            task than the config.
        CheckpointError: a checkpoint cannot be written, or none can be read.
        DivergenceError: a loss or a gradient is not finite, or no evaluation gave a number.
        Interrupted: SIGTERM or Ctrl-C; the state is saved.
        PictureError: the pictures cannot be used.
        ProcessError: another one of several processes failed, or was given another config or other pictures.
        MemoryNeedError: a step needs more memory than the device has.
    """
    started = time.monotonic()
    _check_task(config, architecture)
    task = config.task.build()
    require_same("config", f"{config.to_json()}, batch {batch}".encode())
    require_same("architecture", architecture.to_json().encode())
    side = crop_side(task, config.train.patch)
    w, a, v = agree(lambda: load_parts(config.data, task, config.seed, side, "training", say))
    used = w.joined(a)
    network = architecture.scaled(config.train.width_scale)
    supernet = _first_supernet(config, network) if config.train.warm_start else None
    splits = {"train": used.digest(), "V": v.digest()}
    if batch == "auto":
        config = _fit_batch(config, network, workdir, used, restart, say)
    with RunFolder(workdir, config, "train", splits, restart=restart, say=say) as folder:
        with folder.writing():
            agree(lambda: _claim_architecture(folder, network) if is_first() else None)
        say(f"pictures: {len(used)} to train on, {len(v)} to validate with; {network.parameters():,} parameters")
        validation = Validation(v, task, seed=config.seed, tile=config.train.patch, batch=config.train.batch_size)
        work = _Training(config, folder, task, network, used, validation, say)
        state = work.start(supernet)
        tally = Loop(folder, work.plan(state), work, say, started, config.compute.checkpoint_seconds).run(state)
        if tally.best is None:
            raise DivergenceError(
                f"no evaluation gave a number (see {workdir / 'metrics.jsonl'}): the training diverged;"
                f" {_mend(config)}, and give --restart"
            )
        with folder.writing():
            folder.write_manifest(seconds=round(tally.seconds, 1))
        folder.share("architecture.json")
        folder.share("model.safetensors")
    if tally.best.score.psnr < (untouched := validation.skip_score().psnr):
        say(f"the network restores V worse than f_skip alone ({untouched:.2f} dB): it needs more steps or a lower rate")
    return Model.load(workdir / "model.safetensors")


def _fit_batch(
    config: Config, network: Architecture, workdir: Path, pictures: PictureSet, restart: bool, say: Say
) -> Config:
    trainer = make_trainer(config, network, make_mesh(jax.process_count()))
    state = jax.eval_shape(lambda key: trainer.init(initialise(trainer.net, key, network.channels)), jax.random.key(0))
    held = 0 if streams(config.data, [pictures], say) else picture_bytes(pictures)
    return fit_batch(
        config, "train", workdir, restart, [trainer.step], state, trainer.task, most=LARGEST_BATCH, held=held, say=say
    )


class _Training:
    """What the loop of a training does: compile, run steps, evaluate, write the model."""

    def __init__(
        self,
        config: Config,
        folder: RunFolder,
        task: Task,
        architecture: Architecture,
        pictures: PictureSet,
        validation: Validation,
        say: Say,
    ) -> None:
        self._config, self._folder, self._architecture = config, folder, architecture
        self._validation = validation
        self._mesh = make_mesh(config.train.batch_size)
        say(describe_mesh(self._mesh, config.train.batch_size))
        self._trainer = make_trainer(config, architecture, self._mesh)
        key, self._init_key = jax.random.split(jax.random.key(config.seed))
        self._key = self.place(key)
        self._pictures, streamed = len(pictures), streams(config.data, [pictures], say)
        most = most_steps(streamed, pictures, config.train.batch_size, crop_side(task, config.train.patch))
        # a divisor of both, so that one program serves the last stretch too
        self._count = steps_per_call(math.gcd(config.train.steps, config.train.validate_every), most)
        self._feed: Feed = (
            training_stream(self._trainer, key, pictures, config.train, self._count)
            if streamed
            else resident_feed(pictures, self._mesh)
        )
        self._program: Any = None
        self._restore: Any = None

    def place(self, tree: Tree) -> Tree:
        """Lay a state whole on every device."""
        return replicate(tree, self._mesh)

    def start(self, supernet: dict[str, Tree] | None) -> TrainState:
        """The state before the first step, with the kernels of ``supernet`` if any."""
        state: TrainState = self.place(self._trainer.init(self._initial(self._init_key, supernet)))
        return state

    def plan(self, state: TrainState) -> Plan:
        """The numbers of the loop."""
        return Plan(
            what="train",
            name="training",
            steps=self._config.train.steps,
            stretch=self._config.train.validate_every,
            count=self._count,
            groups={"loss": group_names(state.params)},
            mend=_mend(self._config),
        )

    def prepare(self, state: TrainState, done: int, progress: Progress) -> None:
        """Compile both programs, once."""
        del done
        if self._program is None:
            self._program = self._compile(state, progress)
            self._restore = self._validation.compile(
                functools.partial(f_net, self._trainer.net, self._trainer.task),
                _variables(state),
                self._mesh,
                progress.say,
                deterministic=self._config.compute.deterministic,
            )
            progress.resume()

    def call(self, state: TrainState, done: int) -> tuple[TrainState, dict[str, Outcome]]:
        """The steps of a call."""
        state, told = self._program(state, self._key, self._feed(done // self._count))
        return state, {"loss": told}

    def evaluate(self, state: TrainState, done: int, rows: list[Row]) -> tuple[dict[str, Any], Score | None]:
        """A row, and the score on V."""
        del rows
        score = self._validation.score(self._restore, _variables(state))
        epoch = round(done * self._config.train.batch_size / self._pictures, 2)
        return {"epoch": epoch, "psnr": score.psnr, "ssim": score.ssim}, score

    def ends(self, rows: list[Row], done: int) -> None:
        """A training runs to its last step."""

    def publish(self, state: TrainState, best: Best | None) -> None:
        """Write model.safetensors, once there is a best network."""
        if best is None or not is_first():
            return
        card = {
            "task": dataclasses.asdict(self._config.task),
            "data": dataclasses.asdict(self._config.data),
            "train": dataclasses.asdict(self._config.train),
            "seed": self._config.seed,
            "step": best.step,
            "validation": dataclasses.asdict(best.score),
        }
        Model(self._architecture, _variables(state), card).save(self._folder.path / "model.safetensors")

    def _initial(self, key: PRNGKeyArray, supernet: dict[str, Tree] | None) -> dict[str, Tree]:
        variables = initialise(self._trainer.net, key, self._architecture.channels)
        if supernet is None:
            return variables
        return inherit(variables, supernet, self._architecture, self._config.space)

    def _compile(self, state: TrainState, progress: Progress) -> Any:
        config: TrainConfig = self._config.train

        def steps(state: TrainState, key: PRNGKeyArray, source: PatchSource) -> Any:
            return train_steps(
                self._trainer,
                state,
                key,
                source,
                count=self._count,
                batch=config.batch_size,
                patch=config.patch,
            )

        arguments = (state, self._key, self._feed(0))
        jitted = jax.jit(steps, donate_argnums=0, out_shardings=whole(self._mesh))
        deterministic = self._config.compute.deterministic
        return compile_step("the training step", jitted, arguments, progress.say, deterministic=deterministic)


def _variables(state: TrainState) -> dict[str, Tree]:
    return {"params": state.params, "batch_stats": state.batch_stats}


def _mend(config: Config) -> str:
    return mend("train", {"learning_rate": config.train.learning_rate}, config.train.gradient_clip)


def _first_supernet(config: Config, network: Architecture) -> dict[str, Tree]:
    """The supernet to start from, as the first process reads it."""

    def read() -> bytes:
        supernet: bytes = msgpack_serialize(best_supernet(Path(config.train.warm_start), config, network))
        return supernet

    variables: dict[str, Tree] = msgpack_restore(from_first(read))
    return variables


def best_supernet(workdir: Path, config: Config, architecture: Architecture) -> dict[str, Tree]:
    """The variables of the supernet that did best on V in the search of folder ``workdir``.

    Raises:
        ConfigError: the folder holds no finished evaluation of a search, or its supernet does not contain
            ``architecture``.
    """
    if not (workdir / "config.json").is_file() or not (workdir / "checkpoints").is_dir():
        raise ConfigError(f"{workdir} is not the folder of a search")
    searched = load_config(str(workdir / "config.json"))
    if _supernet_form(searched) != _supernet_form(config) or not _contains(config.space, architecture):
        raise ConfigError(
            f"train.warm_start: the supernet of {workdir} does not hold this network;"
            " give the config and the architecture.json of that search"
        )
    with Checkpoints(workdir / "checkpoints", read_only=True) as checkpoints:
        numbers = checkpoints.numbers()
        best = checkpoints.read(numbers[-1]).facts["best"] if numbers else None
        if best is None:
            raise ConfigError(f"{workdir}: the search has not evaluated any supernet yet; let it run on")
        state = checkpoints.read(best["checkpoint"]).state
    return {name: state[name] for name in ("params", "batch_stats", "arch")}


def _supernet_form(config: Config) -> tuple[SearchSpace, int, int]:
    return config.space, config.task.channels, config.task.scale


def _contains(space: SearchSpace, architecture: Architecture) -> bool:
    names = ("base_width", "width_factors", "start_width", "end_width")
    sizes = (len(architecture.cells), architecture.node_count)
    return sizes == (space.layers, space.nodes) and all(
        getattr(space, name) == getattr(architecture, name) for name in names
    )


def _check_task(config: Config, architecture: Architecture) -> None:
    task = config.task
    for name, ours in (
        ("name", architecture.task),
        ("scale", architecture.scale),
        ("channels", architecture.channels),
        ("residual", architecture.residual),
    ):
        if getattr(task, name) != ours:
            raise ConfigError(
                f"the architecture was searched with task.{name} = {ours}, the config says {getattr(task, name)};"
                " train it with the config it was searched with"
            )


def _claim_architecture(folder: RunFolder, architecture: Architecture) -> None:
    file = folder.path / "architecture.json"
    if file.exists() and Architecture.load(file) != architecture:
        raise ConfigError(
            f"{folder.path} holds a training of another architecture; give another --workdir, or --restart"
        )
    folder.write("architecture.json", architecture.to_json())
    draw_architecture(architecture, folder.path / "architecture.svg")
