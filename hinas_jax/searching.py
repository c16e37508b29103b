"""The search of section 3.4: alternate updates of the kernels on W and of alpha and beta on A.

``loss -> gradients -> step -> epoch`` are pure functions of a SearchState; ``search`` is the thin loop around them.
"""

from __future__ import annotations

import dataclasses
import functools
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

from hinas_jax.arch_gradients import ArchGradient, Patches, chosen, first_order
from hinas_jax.architecture import Architecture
from hinas_jax.batching import Batch, fit_batch
from hinas_jax.compiling import Say, compile_step, scan_steps, steps_per_call
from hinas_jax.config import Config, LossConfig
from hinas_jax.data.patches import Draws, PatchSource, Sizes, draw_patches, epoch_order, sample, sizes_of
from hinas_jax.data.sources import PictureSet, large_enough, load_pictures, split
from hinas_jax.divergence import DivergenceError, Outcome, group_names, mend, outcome
from hinas_jax.drawing import draw_architecture
from hinas_jax.feeding import Feed, most_steps, picture_bytes, resident_feed, streamed_feed, streams
from hinas_jax.looping import Best, Loop, Plan, Row
from hinas_jax.mesh import describe_mesh, make_mesh, replicate, spread, whole
from hinas_jax.objective import batch_loss, f_net
from hinas_jax.optimisers import arch_optimiser, weight_optimiser
from hinas_jax.processes import agree, is_first, require_same
from hinas_jax.progress import Progress
from hinas_jax.runs import RunFolder
from hinas_jax.space.initialise import initialise
from hinas_jax.space.supernet import SuperNet
from hinas_jax.tasks import Task, crop_side, degrade_crops
from hinas_jax.validation import Score, Validation
from hinas_jax.watching import decode_for, describe, early_stop, skips_taking_over

Tree = Any


@struct.dataclass
class SearchState:
    """All that a search is, between two steps."""

    step: Int32[Array, ""]
    params: Tree
    arch: Tree
    batch_stats: Tree
    weight_optimiser: optax.OptState
    arch_optimiser: optax.OptState


@dataclasses.dataclass(frozen=True)
class Searcher:
    """The pure part of a search: what a step does, for one supernet, task, loss and pair of optimisers, on a mesh."""

    net: SuperNet
    task: Task
    loss: LossConfig
    weights: optax.GradientTransformation
    architecture: optax.GradientTransformation
    mesh: Mesh | AbstractMesh
    arch_gradient: ArchGradient = first_order

    def init(self, key: PRNGKeyArray) -> SearchState:
        """The state before the first step."""
        variables = initialise(self.net, key, self.task.channels)
        return SearchState(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            arch=variables["arch"],
            batch_stats=variables["batch_stats"],
            weight_optimiser=self.weights.init(variables["params"]),
            arch_optimiser=self.architecture.init(variables["arch"]),
        )

    def loss_of(
        self,
        params: Tree,
        arch: Tree,
        batch_stats: Tree,
        degraded: Float[Array, "batch height width channel"],
        clean: Float[Array, "batch clean_height clean_width channel"],
    ) -> tuple[Float[Array, ""], Tree]:
        """Eq. 7 on a batch, and the moved running statistics. Differentiable in ``params`` and in ``arch``."""
        variables = {"params": params, "arch": arch, "batch_stats": batch_stats}
        return batch_loss(self.net, self.task, self.loss, variables, degraded, clean)

    def weight_step(
        self, state: SearchState, degraded: Float[Array, "..."], clean: Float[Array, "..."]
    ) -> tuple[SearchState, Outcome]:
        """Update the kernels (and running statistics) on a batch of W; alpha and beta stay."""
        gradient = jax.value_and_grad(self.loss_of, argnums=0, has_aux=True)
        (loss, batch_stats), grads = gradient(state.params, state.arch, state.batch_stats, degraded, clean)
        updates, optimiser = self.weights.update(grads, state.weight_optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        return dataclasses.replace(
            state, step=state.step + 1, params=params, batch_stats=batch_stats, weight_optimiser=optimiser
        ), outcome(loss, grads)

    def arch_step(
        self, state: SearchState, degraded: Float[Array, "..."], clean: Float[Array, "..."], w: Patches | None = None
    ) -> tuple[SearchState, Outcome]:
        """Update alpha and beta on a batch of A; kernels and statistics stay.

        A second-order gradient also needs ``w``, the batch of W that comes next.
        """
        loss, grads = self.arch_gradient(self, state, (degraded, clean), w)
        updates, optimiser = self.architecture.update(grads, state.arch_optimiser, state.arch)
        arch = optax.apply_updates(state.arch, updates)
        return dataclasses.replace(state, arch=arch, arch_optimiser=optimiser), outcome(loss, grads)

    def restore(self, variables: Tree, degraded: Float[Array, "batch height width channel"]) -> Float[Array, "..."]:
        """f_net with running statistics, for evaluation."""
        return f_net(self.net, self.task, variables, degraded)


def search_steps(
    searcher: Searcher,
    state: SearchState,
    key: PRNGKeyArray,
    first: Int32[Array, ""],
    w: PatchSource,
    a: PatchSource,
    *,
    steps: int,
    count: int,
    batch: int,
    patch: int,
    alternate: bool,
) -> tuple[SearchState, dict[str, Outcome]]:
    """Steps ``first`` to ``first + count - 1`` of an epoch as one scan.

    Each step updates alpha and beta on A (if ``alternate``), then the kernels on W.

    Args:
        searcher: what a step does.
        state: the state before.
        key: the epoch's key; all its randomness comes from this and the step's place in the epoch.
        first: place of the first step in the epoch.
        w: Train W.
        a: Train A.
        steps: steps of the epoch.
        count: steps of this call.
        batch: patches a step.
        patch: side of the degraded patches.
        alternate: False while warming up.

    Returns:
        The state after, and of each step the outcomes on W, ``loss``, and on A, ``arch_loss`` (not while warming up).
    """
    sizes = {"w": w.sizes, "a": a.sizes}
    side = crop_side(searcher.task, patch)
    draws, degrade_keys = search_draws(key, first, sizes, steps=steps, count=count, batch=batch, side=side)

    def take(source: PatchSource, place: Int32[Array, ""], draws: Draws, key: PRNGKeyArray) -> tuple[Array, Array]:
        crops = sample(source, place, spread(draws, searcher.mesh), side)
        return spread(degrade_crops(searcher.task, key, crops), searcher.mesh)

    def step(state: SearchState, inputs: tuple[Any, Any, Array]) -> tuple[SearchState, dict[str, Outcome]]:
        draws, keys, place = inputs
        outcomes, on_w = {}, take(w, place, draws["w"], keys["w"])
        if alternate:
            state, outcomes["arch_loss"] = searcher.arch_step(state, *take(a, place, draws["a"], keys["a"]), on_w)
        state, outcomes["loss"] = searcher.weight_step(state, *on_w)
        return state, outcomes

    return scan_steps(step, state, (draws, degrade_keys, jnp.arange(count)))


def search_draws(
    key: PRNGKeyArray,
    first: Int32[Array, ""],
    sizes: dict[str, Sizes],
    *,
    steps: int,
    count: int,
    batch: int,
    side: int,
) -> tuple[dict[str, Draws], dict[str, PRNGKeyArray]]:
    """What steps ``first`` to ``first + count - 1`` of an epoch take, and the keys of their degradations.

    Args:
        key: the epoch's key.
        first: place of the first step in the epoch.
        sizes: of the pictures of W and of A, as ``{"w": ..., "a": ...}``, like both results.
        steps: steps of the epoch.
        count: of these steps; the leading axis of the results.
        batch: patches a step.
        side: of the squares to draw, in pixels.
    """
    orders = dict(zip(("w", "a", "steps"), jax.random.split(key, 3), strict=True))
    places = first + jnp.arange(count)
    step_keys = jax.vmap(lambda place: jax.random.split(jax.random.fold_in(orders["steps"], place)))(places)
    draws, degrade_keys = {}, {}
    for number, name in enumerate(("w", "a")):
        order = epoch_order(orders[name], sizes[name].count, steps, batch)[places]
        keys = jax.vmap(jax.random.split)(step_keys[:, number])
        draws[name] = jax.vmap(draw_patches, (0, 0, None, None))(keys[:, 0], order, sizes[name], side)
        degrade_keys[name] = keys[:, 1]
    return draws, degrade_keys


def search(
    config: Config, workdir: Path, *, restart: bool = False, batch: Batch = "config", say: Say = print
) -> Architecture:
    """Search an architecture, or go on with a search that was interrupted.

    Args:
        config: the experiment.
        workdir: the run's folder; architecture.json there always holds the best so far.
        restart: begin anew in a folder that holds a run.
        batch: "auto" for as many patches a step as fit into the device's memory.
        say: where lines for people go.

    Returns:
        The architecture decoded from the supernet that did best on V (not the last one).

    Raises:
        ConfigError: ``workdir`` holds another run, or another process runs there.
        CheckpointError: a checkpoint cannot be written, or none can be read.
        DivergenceError: a loss or a gradient is not finite, or no evaluation gave a number.
        Interrupted: SIGTERM or Ctrl-C; the state is saved.
        PictureError: the pictures cannot be used.
        ProcessError: another one of several processes failed, or was given another config or other pictures.
        MemoryNeedError: a step needs more memory than the device has.
    """
    started = time.monotonic()
    task = config.task.build()
    require_same("config", config.to_json().encode())
    parts = agree(lambda: _load_parts(config, task, say))
    digests = {name: part.digest() for name, part in zip("WAV", parts, strict=True)}
    if batch == "auto":
        config = _fit_batch(config, workdir, parts[:2], restart, say)
    with RunFolder(workdir, config, "search", digests, restart=restart) as folder:
        work = _Search(config, folder, task, parts, say)
        state = work.start()
        loop = Loop(folder, work.plan(state), work, say, started, config.compute.checkpoint_seconds)
        tally = loop.run(state)
        if tally.best is None:
            raise DivergenceError(
                f"no evaluation gave a number (see {workdir / 'metrics.jsonl'}): the search diverged;"
                f" {_mend(config)}, and give --restart"
            )
        with folder.writing():
            folder.write_manifest(seconds=round(tally.seconds, 1), temp_bytes=work.temp_bytes)
        folder.share("architecture.json")
        return Architecture.load(workdir / "architecture.json")


def _fit_batch(config: Config, workdir: Path, parts: tuple[PictureSet, ...], restart: bool, say: Say) -> Config:
    searcher = make_searcher(config, 1, make_mesh(jax.process_count()))
    state = jax.eval_shape(searcher.init, jax.random.key(0))
    most = len(parts[0]) * config.search.crops_per_picture
    held = 0 if streams(config.data, list(parts), say) else sum(map(picture_bytes, parts))
    steps = [searcher.weight_step]
    if config.search.arch_gradient == "second-order":  # it keeps more than the weight step does

        def arch_step(state: SearchState, degraded: Array, clean: Array) -> tuple[SearchState, Outcome]:
            return searcher.arch_step(state, degraded, clean, (degraded, clean))

        steps.append(arch_step)
    return fit_batch(config, "search", workdir, restart, steps, state, searcher.task, most=most, held=held, say=say)


def _load_parts(config: Config, task: Task, say: Say) -> tuple[PictureSet, ...]:
    pictures = load_pictures(config.data.root, "train", task.channels, config.data.exclude, say, paired=task.paired)
    assert pictures is not None  # only the test role may be absent
    pictures = large_enough(pictures, crop_side(task, config.search.patch), "the search", say)
    return split(pictures, config.seed, config.data.validation_fraction)


class _Search:
    """What the loop of a search does: compile, run steps, evaluate, write the architecture."""

    def __init__(self, config: Config, folder: RunFolder, task: Task, parts: tuple[PictureSet, ...], say: Say) -> None:
        self._config, self._folder = config, folder
        settings = config.search
        self._steps = max(1, len(parts[0]) * settings.crops_per_picture // settings.batch_size)
        self._mesh = make_mesh(settings.batch_size)
        self._searcher = make_searcher(config, self._steps, self._mesh)
        self._validation = Validation(parts[2], task, seed=config.seed, tile=settings.patch, batch=settings.batch_size)
        self._key, self._init_key = jax.random.split(jax.random.key(config.seed))
        side, streamed = crop_side(task, settings.patch), streams(config.data, list(parts[:2]), say)
        self._count = steps_per_call(self._steps, most_steps(streamed, parts[0], settings.batch_size, side))
        self._w, self._a = self._streamed(parts[:2], side) if streamed else self._resident(parts[:2])
        self._programs: dict[bool, Any] = {}
        self._restore: Any = None
        self._progress: Progress
        #: Features and gradients of the largest step that was compiled, here or before, from the compiled program.
        self.temp_bytes = folder.temp_bytes()
        sizes = ", ".join(f"{name} {len(part)}" for name, part in zip("WAV", parts, strict=True))
        say(f"pictures: {sizes}; {self._steps} steps an epoch of {settings.batch_size} patches")
        say(describe_mesh(self._mesh, settings.batch_size))

    def _resident(self, parts: tuple[PictureSet, ...]) -> list[Feed]:
        return [resident_feed(part, self._mesh) for part in parts]

    def _streamed(self, parts: tuple[PictureSet, ...], side: int) -> list[Feed]:
        sizes = {name: sizes_of(part) for name, part in zip("wa", parts, strict=True)}
        settings, calls = self._config.search, self._config.search.epochs * self._steps // self._count

        def draw(key: PRNGKeyArray, number: Int32[Array, ""], name: str) -> Draws:
            before, first = jnp.divmod(number * self._count, self._steps)
            key = jax.random.fold_in(key, before + 1)
            draws, _ = search_draws(
                key, first, sizes, steps=self._steps, count=self._count, batch=settings.batch_size, side=side
            )
            return draws[name]

        return [
            streamed_feed(part, self._mesh, self._key, functools.partial(draw, name=name), side=side, calls=calls)
            for name, part in zip("wa", parts, strict=True)
        ]

    def place(self, tree: Tree) -> Tree:
        """Lay a state whole on every device."""
        return replicate(tree, self._mesh)

    def start(self) -> SearchState:
        """The state before the first step."""
        state: SearchState = self.place(self._searcher.init(self._init_key))
        return state

    def plan(self, state: SearchState) -> Plan:
        """The numbers of the loop."""
        return Plan(
            what="search",
            name="search",
            steps=self._config.search.epochs * self._steps,
            stretch=self._steps,
            count=self._count,
            groups={"loss": group_names(state.params), "arch_loss": group_names(state.arch)},
            mend=_mend(self._config),
        )

    def prepare(self, state: SearchState, done: int, progress: Progress) -> None:
        """Compile what the next epoch needs."""
        epoch = done // self._steps + 1
        alternate = self._alternates(epoch)
        if alternate not in self._programs:
            self._programs[alternate] = self._compile(state, alternate, progress)
        self._progress = progress
        if self._config.search.evaluated(epoch):
            self._compile_evaluation(state)
        progress.show(epoch=epoch)

    def call(self, state: SearchState, done: int) -> tuple[SearchState, dict[str, Outcome]]:
        """The steps of a call."""
        before, first = divmod(done, self._steps)
        program = self._programs[self._alternates(before + 1)]
        patches = self._w(done // self._count), self._a(done // self._count)
        after: tuple[SearchState, dict[str, Outcome]] = program(
            state, self._epoch_key(before + 1), self.place(np.int32(first)), *patches
        )
        return after

    def evaluate(self, state: SearchState, done: int, rows: list[Row]) -> tuple[dict[str, Any], Score | None]:
        """An epoch's row, and its score if V is evaluated; a warning when skip connections take over."""
        epoch = done // self._steps
        row = {"epoch": epoch, "phase": "alternate" if self._alternates(epoch) else "warmup"}
        arch = jax.device_get(state.arch)
        row |= describe(arch, decode_for(arch, self._config), self._config)
        if warning := skips_taking_over(rows, row, self._config):
            self._progress.say(warning)
        if not self._config.search.evaluated(epoch) and not early_stop([*rows, row], self._config.search):
            return row, None
        self._compile_evaluation(state)
        score = self._validation.score(self._restore, _variables(state))
        return row | {"psnr": score.psnr, "ssim": score.ssim}, score

    def ends(self, rows: list[Row], done: int) -> str | None:
        """Why the search ends before its last epoch."""
        why = early_stop(rows, self._config.search)
        return why and f"the search ends after epoch {done // self._steps} of {self._config.search.epochs}: {why}"

    def publish(self, state: SearchState, best: Best | None) -> None:
        """Write architecture.json and its drawing."""
        del best
        architecture = decode_for(jax.device_get(state.arch), self._config)
        self._folder.write("architecture.json", architecture.to_json())
        if is_first():
            draw_architecture(architecture, self._folder.path / "architecture.svg")

    def _epoch_key(self, epoch: int) -> PRNGKeyArray:
        key: PRNGKeyArray = self.place(jax.random.fold_in(self._key, epoch))
        return key

    def _alternates(self, epoch: int) -> bool:
        return epoch > self._config.search.warmup_epochs

    def _compile_evaluation(self, state: SearchState) -> None:
        if self._restore is None:
            self._restore = self._validation.compile(
                self._searcher.restore,
                _variables(state),
                self._mesh,
                self._progress.say,
                deterministic=self._config.compute.deterministic,
            )
            self._progress.resume()

    def _compile(self, state: SearchState, alternate: bool, progress: Progress) -> Any:
        settings = self._config.search

        def steps(
            state: SearchState, key: PRNGKeyArray, first: Int32[Array, ""], w: PatchSource, a: PatchSource
        ) -> Any:
            return search_steps(
                self._searcher,
                state,
                key,
                first,
                w,
                a,
                steps=self._steps,
                count=self._count,
                batch=settings.batch_size,
                patch=settings.patch,
                alternate=alternate,
            )

        phase = "the alternating steps" if alternate else "the warm-up steps"
        arguments = (state, self._epoch_key(0), self.place(np.int32(0)), self._w(0), self._a(0))
        jitted = jax.jit(steps, donate_argnums=0, out_shardings=whole(self._mesh))
        program = compile_step(phase, jitted, arguments, progress.say, deterministic=self._config.compute.deterministic)
        self.temp_bytes = max(self.temp_bytes, program.memory_analysis().temp_size_in_bytes)
        with self._folder.writing():  # now: a process that goes on at the end compiles nothing
            self._folder.write_manifest(temp_bytes=self.temp_bytes)
        progress.resume()
        return program


def _variables(state: SearchState) -> dict[str, Tree]:
    return {"params": state.params, "arch": state.arch, "batch_stats": state.batch_stats}


def _mend(config: Config) -> str:
    return mend("search", config.search.learning_rate, config.search.gradient_clip)


def make_searcher(config: Config, steps_per_epoch: int, mesh: Mesh | AbstractMesh | None = None) -> Searcher:
    """The searcher that a config describes, on ``mesh`` or else on all devices that can share its batch."""
    task = config.task.build()
    return Searcher(
        net=SuperNet(config.space, task.channels, task.scale, config.compute.precision, config.compute.remat),
        task=task,
        loss=config.loss,
        weights=weight_optimiser(config.search, config.search.epochs * steps_per_epoch),
        architecture=arch_optimiser(config.search),
        mesh=mesh or make_mesh(config.search.batch_size),
        arch_gradient=chosen(config),
    )
