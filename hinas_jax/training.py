"""Training an Architecture from scratch, or from the supernet's kernels (section 4.1). The best on V is kept."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Float, Int32, PRNGKeyArray

from hinas_jax.architecture import Architecture
from hinas_jax.checkpoints import Checkpoints
from hinas_jax.compiling import Say, compile_step, scan_steps, steps_per_call
from hinas_jax.config import Config, ConfigError, LossConfig, TrainConfig, load_config
from hinas_jax.data.patches import PatchSource, sample_crops, to_device
from hinas_jax.data.sources import PictureSet, large_enough, load_pictures, split
from hinas_jax.drawing import draw_architecture
from hinas_jax.mesh import describe_mesh, make_mesh, replicate, spread, whole
from hinas_jax.modelfile import Model
from hinas_jax.objective import batch_loss, f_net
from hinas_jax.optimisers import training_optimiser
from hinas_jax.progress import Progress
from hinas_jax.runs import RunFolder
from hinas_jax.space.inherit import inherit
from hinas_jax.space.initialise import initialise
from hinas_jax.space.network import Network
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.space.supernet import SuperNet
from hinas_jax.tasks import Task, crop_side, degrade_crops
from hinas_jax.validation import Score, Validation

Tree = Any


@struct.dataclass
class TrainState:
    """All that a training is, between two steps."""

    step: Int32[Array, ""]
    params: Tree
    batch_stats: Tree
    optimiser: optax.OptState
    best_value: Float[Array, ""]


@dataclasses.dataclass(frozen=True)
class Trainer:
    """The pure part of a training: what a step does, for one network, task, loss and optimiser, on a mesh."""

    net: Network
    task: Task
    loss: LossConfig
    optimiser: optax.GradientTransformation
    mesh: Mesh | AbstractMesh = dataclasses.field(default_factory=lambda: make_mesh(1))

    def init(self, variables: dict[str, Tree]) -> TrainState:
        """The state before the first step."""
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            batch_stats=variables["batch_stats"],
            optimiser=self.optimiser.init(variables["params"]),
            best_value=jnp.asarray(-jnp.inf, jnp.float32),
        )

    def loss_of(
        self, params: Tree, batch_stats: Tree, degraded: Float[Array, "..."], clean: Float[Array, "..."]
    ) -> tuple[Float[Array, ""], Tree]:
        """Eq. 7 on a batch, and the moved running statistics."""
        variables = {"params": params, "batch_stats": batch_stats}
        return batch_loss(self.net, self.task, self.loss, variables, degraded, clean)

    def step(
        self, state: TrainState, degraded: Float[Array, "..."], clean: Float[Array, "..."]
    ) -> tuple[TrainState, Float[Array, ""]]:
        """One update on a batch; returns its loss too."""
        gradient = jax.value_and_grad(self.loss_of, has_aux=True)
        (loss, batch_stats), grads = gradient(state.params, state.batch_stats, degraded, clean)
        updates, optimiser = self.optimiser.update(grads, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        moved = dataclasses.replace(
            state, step=state.step + 1, params=params, batch_stats=batch_stats, optimiser=optimiser
        )
        return moved, loss

    def restore(self, variables: Tree, degraded: Float[Array, "batch height width channel"]) -> Float[Array, "..."]:
        """f_net with running statistics, for evaluation."""
        return f_net(self.net, self.task, variables, degraded)


def train_steps(
    trainer: Trainer,
    state: TrainState,
    key: PRNGKeyArray,
    source: PatchSource,
    *,
    count: int,
    batch: int,
    patch: int,
) -> tuple[TrainState, Float[Array, ""]]:
    """``count`` updates on random patches as one scan; returns the sum of the losses too.

    Each step's randomness comes from ``key`` and the step's number, so a resumed training draws what it would have.
    """
    side = crop_side(trainer.task, patch)

    def step(state: TrainState, number: Int32[Array, ""]) -> tuple[TrainState, Array]:
        choose, crop, degrade = jax.random.split(jax.random.fold_in(key, number), 3)
        indices = spread(jax.random.randint(choose, (batch,), 0, source.count), trainer.mesh)
        crops = sample_crops(source, crop, indices, side)
        return trainer.step(state, *spread(degrade_crops(trainer.task, degrade, crops), trainer.mesh))

    state, losses = scan_steps(step, state, state.step + jnp.arange(count))
    return state, losses.sum()


def train(
    config: Config, architecture: Architecture, workdir: Path, *, restart: bool = False, say: Say = print
) -> Model:
    """Train an architecture, or go on with a training that was interrupted.

    Args:
        config: the experiment.
        architecture: as searched; ``config.train.width_scale`` widens it.
        workdir: the run's folder; model.safetensors there always holds the best so far.
        restart: begin anew in a folder that holds a run.
        say: where lines for people go.

    Returns:
        The model that did best on V.

    Raises:
        ConfigError: ``workdir`` holds another run, or the architecture is of another task than the config.
        PictureError: the pictures cannot be used.
        MemoryNeedError: a step needs more memory than the device has.
    """
    started = time.monotonic()
    _check_task(config, architecture)
    task = config.task.build()
    pictures = load_pictures(config.data.root, "train", task.channels, config.data.exclude, say, paired=task.paired)
    assert pictures is not None  # only the test role may be absent
    pictures = large_enough(pictures, crop_side(task, config.train.patch), "training", say)
    w, a, v = split(pictures, config.seed, config.data.validation_fraction)
    network = architecture.scaled(config.train.width_scale)
    supernet = best_supernet(Path(config.train.warm_start), config, network) if config.train.warm_start else None
    used = w.joined(a)
    folder = RunFolder(workdir, config, "train", {"train": used.digest(), "V": v.digest()}, restart=restart)
    _claim_architecture(folder, network)
    say(f"pictures: {len(used)} to train on, {len(v)} to validate with; {network.parameters():,} parameters")
    validation = Validation(v, task, seed=config.seed, tile=config.train.patch, batch=config.train.batch_size)
    seconds = _Training(config, folder, task, network, used, validation, say).run(started, supernet)
    folder.write_manifest(seconds=round(seconds, 1))
    if not (workdir / "model.safetensors").exists():
        raise ConfigError(
            f"no evaluation gave a number (see {workdir / 'metrics.jsonl'}): the training diverged;"
            f" lower train.learning_rate, {config.train.learning_rate:g} now, and give --restart"
        )
    model = Model.load(workdir / "model.safetensors")
    if model.card["validation"]["psnr"] < (untouched := validation.skip_score().psnr):
        say(f"the network restores V worse than f_skip alone ({untouched:.2f} dB): it needs more steps or a lower rate")
    return model


class _Training:
    """The loop's effects: compile, run steps, evaluate, keep the best, save, tell."""

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
        self._config, self._folder, self._architecture, self._say = config, folder, architecture, say
        self._validation = validation
        self._mesh = make_mesh(config.train.batch_size)
        self._source = to_device(pictures, put=self._everywhere)
        say(describe_mesh(self._mesh, config.train.batch_size))
        # a divisor of both, so that one program serves the last stretch too
        self._count = steps_per_call(math.gcd(config.train.steps, config.train.validate_every))
        net = Network(architecture, config.compute.precision)
        self._trainer = Trainer(net, task, config.loss, training_optimiser(config.train), self._mesh)

    def _everywhere(self, tree: Tree) -> Tree:
        return replicate(tree, self._mesh)

    def run(self, started: float, supernet: dict[str, Tree] | None) -> float:
        """Train to the end, from the kernels of ``supernet`` if any.

        Returns:
            The seconds since ``started`` and those of the processes before.
        """
        config = self._config.train
        key, init_key = jax.random.split(jax.random.key(self._config.seed))
        key = self._everywhere(key)
        state = self._everywhere(self._trainer.init(self._initial(init_key, supernet)))
        checkpoints = Checkpoints(self._folder.path / "checkpoints")
        if (done := checkpoints.latest() or 0) > 0:
            state = self._everywhere(checkpoints.restore(state))
            self._say(f"going on after step {done} of {config.steps}")
        spent = self._folder.cut_metrics(done)
        program: Any = None
        restore: Any = None
        with Progress("train", config.steps, done, self._say) as progress:
            while done < config.steps:
                count = min(config.validate_every, config.steps - done)
                program = program or self._compile(state, key, progress)
                state, loss = self._run_steps(program, state, key, count, progress)
                variables = {"params": state.params, "batch_stats": state.batch_stats}
                restore = restore or self._validation.compile(
                    self._trainer.restore, variables, self._mesh, progress.say
                )
                score = self._validation.score(restore, variables)
                done += count
                row = {"loss": loss, "psnr": score.psnr, "ssim": score.ssim}
                if score.value > float(state.best_value):
                    state = dataclasses.replace(state, best_value=self._everywhere(np.float32(score.value)))
                    self._save_model(variables, done, score)
                epoch = done * config.batch_size / self._source.count
                seconds = round(spent + time.monotonic() - started, 2)
                self._folder.append_metrics({"step": done, "epoch": round(epoch, 2), "seconds": seconds} | row)
                checkpoints.save(done, state)
                progress.report(**row)
        checkpoints.close()
        return spent + time.monotonic() - started

    def _run_steps(
        self, program: Any, state: TrainState, key: PRNGKeyArray, count: int, progress: Progress
    ) -> tuple[TrainState, float]:
        sums: list[Array] = []
        for _ in range(count // self._count):
            state, loss = program(state, key, self._source)
            sums.append(loss)
            progress.steps(self._count)
            if len(sums) > 1:  # a loss fetched late does not hold up the device
                progress.show(loss=float(sums[-2]) / self._count)
        return state, float(np.sum(jax.device_get(sums), dtype=np.float64) / count)

    def _initial(self, key: PRNGKeyArray, supernet: dict[str, Tree] | None) -> dict[str, Tree]:
        variables = initialise(self._trainer.net, key, self._architecture.channels)
        if supernet is None:
            return variables
        return inherit(variables, supernet, self._architecture, self._config.space)

    def _compile(self, state: TrainState, key: PRNGKeyArray, progress: Progress) -> Any:
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

        arguments = (state, key, self._source)
        jitted = jax.jit(steps, donate_argnums=0, out_shardings=whole(self._mesh))
        program = compile_step("the training step", jitted, arguments, progress.say)
        progress.resume()
        return program

    def _save_model(self, variables: Tree, step: int, score: Score) -> None:
        card = {
            "task": dataclasses.asdict(self._config.task),
            "data": dataclasses.asdict(self._config.data),
            "train": dataclasses.asdict(self._config.train),
            "seed": self._config.seed,
            "step": step,
            "validation": dataclasses.asdict(score),
        }
        Model(self._architecture, variables, card).save(self._folder.path / "model.safetensors")


def best_supernet(workdir: Path, config: Config, architecture: Architecture) -> dict[str, Tree]:
    """The variables of the supernet that did best on V in the search of folder ``workdir``.

    Raises:
        ConfigError: the folder holds no finished evaluation of a search, or its supernet does not contain
            ``architecture``.
    """
    folder = workdir / "checkpoints" / "best"
    if not (workdir / "config.json").is_file() or not folder.is_dir():
        raise ConfigError(f"{workdir} is not the folder of a search")
    searched = load_config(str(workdir / "config.json"))
    if _supernet_form(searched) != _supernet_form(config) or not _contains(config.space, architecture):
        raise ConfigError(
            f"train.warm_start: the supernet of {workdir} does not hold this network;"
            " give the config and the architecture.json of that search"
        )
    net = SuperNet(config.space, config.task.channels, config.task.scale)
    checkpoints = Checkpoints(folder, keep=1)
    if checkpoints.latest() is None:
        raise ConfigError(f"{workdir}: the search has not evaluated any supernet yet; let it run on")
    variables: dict[str, Tree] = checkpoints.restore(initialise(net, jax.random.key(0), config.task.channels))
    checkpoints.close()
    return variables


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
    architecture.save(file)
    draw_architecture(architecture, folder.path / "architecture.svg")
