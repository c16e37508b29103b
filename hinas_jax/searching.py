"""The search of section 3.4: alternate first-order updates of the kernels on W and of alpha and beta on A.

``loss -> gradients -> step -> epoch`` are pure functions of a SearchState; ``search`` is the thin loop around them.
"""

from __future__ import annotations

import dataclasses
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
from hinas_jax.config import Config, ConfigError, LossConfig
from hinas_jax.data.patches import PatchSource, epoch_order, sample_crops, to_device
from hinas_jax.data.sources import PictureSet, large_enough, load_pictures, split
from hinas_jax.drawing import draw_architecture
from hinas_jax.mesh import describe_mesh, make_mesh, replicate, spread, whole
from hinas_jax.objective import batch_loss, f_net
from hinas_jax.optimisers import arch_optimiser, weight_optimiser
from hinas_jax.progress import Progress
from hinas_jax.report import read_metrics
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
    best_value: Float[Array, ""]
    best_epoch: Int32[Array, ""]


@dataclasses.dataclass(frozen=True)
class Searcher:
    """The pure part of a search: what a step does, for one supernet, task, loss and pair of optimisers, on a mesh."""

    net: SuperNet
    task: Task
    loss: LossConfig
    weights: optax.GradientTransformation
    architecture: optax.GradientTransformation
    mesh: Mesh | AbstractMesh

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
            best_value=jnp.asarray(-jnp.inf, jnp.float32),
            best_epoch=jnp.zeros((), jnp.int32),
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
    ) -> tuple[SearchState, Float[Array, ""]]:
        """Update the kernels (and running statistics) on a batch of W; alpha and beta stay. Returns the loss too."""
        gradient = jax.value_and_grad(self.loss_of, argnums=0, has_aux=True)
        (loss, batch_stats), grads = gradient(state.params, state.arch, state.batch_stats, degraded, clean)
        updates, optimiser = self.weights.update(grads, state.weight_optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        return dataclasses.replace(
            state, step=state.step + 1, params=params, batch_stats=batch_stats, weight_optimiser=optimiser
        ), loss

    def arch_step(
        self, state: SearchState, degraded: Float[Array, "..."], clean: Float[Array, "..."]
    ) -> tuple[SearchState, Float[Array, ""]]:
        """Update alpha and beta on a batch of A; kernels and statistics stay. First order. Returns the loss too."""
        gradient = jax.value_and_grad(self.loss_of, argnums=1, has_aux=True)
        (loss, _), grads = gradient(state.params, state.arch, state.batch_stats, degraded, clean)
        updates, optimiser = self.architecture.update(grads, state.arch_optimiser, state.arch)
        arch = optax.apply_updates(state.arch, updates)
        return dataclasses.replace(state, arch=arch, arch_optimiser=optimiser), loss

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
) -> tuple[SearchState, Float[Array, ""], Float[Array, ""]]:
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
        The state after, and the sums over the steps of the losses on W and on A (0 while warming up).
    """
    side = crop_side(searcher.task, patch)
    w_key, a_key, steps_key = jax.random.split(key, 3)
    places = first + jnp.arange(count)
    w_order = epoch_order(w_key, w.count, steps, batch)[places]
    a_order = epoch_order(a_key, a.count, steps, batch)[places]

    def sample(source: PatchSource, key: PRNGKeyArray, indices: Int32[Array, " batch"]) -> tuple[Array, Array]:
        crop, degrade = jax.random.split(key)
        crops = sample_crops(source, crop, spread(indices, searcher.mesh), side)
        return spread(degrade_crops(searcher.task, degrade, crops), searcher.mesh)

    def step(state: SearchState, inputs: tuple[Array, Array, Array]) -> tuple[SearchState, tuple[Array, Array]]:
        w_indices, a_indices, place = inputs
        w_key, a_key = jax.random.split(jax.random.fold_in(steps_key, place))
        arch_loss = jnp.zeros(())
        if alternate:
            state, arch_loss = searcher.arch_step(state, *sample(a, a_key, a_indices))
        state, loss = searcher.weight_step(state, *sample(w, w_key, w_indices))
        return state, (loss, arch_loss)

    state, losses = scan_steps(step, state, (w_order, a_order, places))
    return state, losses[0].sum(), losses[1].sum()


def search(config: Config, workdir: Path, *, restart: bool = False, say: Say = print) -> Architecture:
    """Search an architecture, or go on with a search that was interrupted.

    Args:
        config: the experiment.
        workdir: the run's folder; architecture.json there always holds the best so far.
        restart: begin anew in a folder that holds a run.
        say: where lines for people go.

    Returns:
        The architecture decoded from the supernet that did best on V (not the last one).

    Raises:
        ConfigError: ``workdir`` holds another run, or the search diverged.
        PictureError: the pictures cannot be used.
        MemoryNeedError: a step needs more memory than the device has.
    """
    started = time.monotonic()
    task = config.task.build()
    pictures = load_pictures(config.data.root, "train", task.channels, config.data.exclude, say, paired=task.paired)
    assert pictures is not None  # only the test role may be absent
    pictures = large_enough(pictures, crop_side(task, config.search.patch), "the search", say)
    parts = split(pictures, config.seed, config.data.validation_fraction)
    digests = {name: part.digest() for name, part in zip("WAV", parts, strict=True)}
    folder = RunFolder(workdir, config, "search", digests, restart=restart)
    loop = _Search(config, folder, task, parts, say)
    seconds = loop.run(started)
    folder.write_manifest(seconds=round(seconds, 1))
    return Architecture.load(workdir / "architecture.json")


class _Search:
    """The loop's effects: compile, run epochs, evaluate, keep the best, save, tell."""

    def __init__(self, config: Config, folder: RunFolder, task: Task, parts: tuple[PictureSet, ...], say: Say) -> None:
        self._config, self._folder, self._task, self._say = config, folder, task, say
        settings = config.search
        self._steps = max(1, len(parts[0]) * settings.crops_per_picture // settings.batch_size)
        self._count = steps_per_call(self._steps)
        self._mesh = make_mesh(settings.batch_size)
        self._w, self._a = (to_device(part, put=self._everywhere) for part in parts[:2])
        self._searcher = make_searcher(config, self._steps, self._mesh)
        self._validation = Validation(parts[2], task, seed=config.seed, tile=settings.patch, batch=settings.batch_size)
        sizes = ", ".join(f"{name} {len(part)}" for name, part in zip("WAV", parts, strict=True))
        say(f"pictures: {sizes}; {self._steps} steps an epoch of {settings.batch_size} patches")
        say(describe_mesh(self._mesh, settings.batch_size))

    def _everywhere(self, tree: Tree) -> Tree:
        return replicate(tree, self._mesh)

    def run(self, started: float) -> float:
        """Search to the end; returns the seconds since ``started`` and those of the processes before."""
        config = self._config.search
        key, init_key = jax.random.split(jax.random.key(self._config.seed))
        state = self._everywhere(self._searcher.init(init_key))
        latest = Checkpoints(self._folder.path / "checkpoints" / "latest")
        best = Checkpoints(self._folder.path / "checkpoints" / "best", keep=1)
        done = latest.latest() or 0
        if done:
            state = self._everywhere(latest.restore(state))
            self._say(f"going on after epoch {done} of {config.epochs}")
        else:
            self._write_architecture(self._decode(state))
        spent = self._folder.cut_metrics(int(state.step))
        rows = read_metrics(self._folder.path / "metrics.jsonl") if done else []
        programs: dict[bool, Any] = {}
        restore: Any = None
        with Progress("search", config.epochs * self._steps, done * self._steps, self._say) as progress:
            for epoch in range(done + 1, config.epochs + 1):
                if why := early_stop(rows, config):
                    progress.say(f"the search ends after epoch {epoch - 1} of {config.epochs}: {why}")
                    break
                alternate = epoch > config.warmup_epochs
                epoch_key = self._everywhere(jax.random.fold_in(key, epoch))
                if alternate not in programs:
                    programs[alternate] = self._compile(state, epoch_key, alternate, progress)
                progress.show(epoch=epoch)
                state, losses = self._epoch(programs[alternate], state, epoch_key, progress)
                architecture = self._decode(state)
                row = self._row(state, epoch, losses, architecture)
                if config.evaluated(epoch) or early_stop([*rows, row], config):
                    variables = {"params": state.params, "arch": state.arch, "batch_stats": state.batch_stats}
                    restore = restore or self._validation.compile(
                        self._searcher.restore, variables, self._mesh, progress.say
                    )
                    score = self._validation.score(restore, variables)
                    row |= {"psnr": score.psnr, "ssim": score.ssim}
                    state = self._keep_best(state, variables, best, epoch, score, architecture)
                elif int(state.best_epoch) == 0:
                    self._write_architecture(architecture)
                row["seconds"] = round(spent + time.monotonic() - started, 2)
                self._folder.append_metrics(row)
                if warning := skips_taking_over(rows, row, self._config):
                    progress.say(warning)
                rows.append(row)
                latest.save(epoch, state)
                progress.report(**{name: row[name] for name in ("loss", "psnr", "ssim", "skip_count") if name in row})
        latest.close()
        best.close()
        if int(state.best_epoch) == 0:
            raise ConfigError(
                f"no evaluation gave a number (see {self._folder.path / 'metrics.jsonl'}): the search diverged;"
                f" lower search.learning_rate ({config.learning_rate:g}) or search.gradient_clip, and give --restart"
            )
        return spent + time.monotonic() - started

    def _row(
        self, state: SearchState, epoch: int, losses: tuple[float, float], architecture: Architecture
    ) -> dict[str, Any]:
        alternate = epoch > self._config.search.warmup_epochs
        row: dict[str, Any] = {"step": int(state.step), "epoch": epoch, "phase": "alternate" if alternate else "warmup"}
        row |= {"loss": losses[0], "arch_loss": losses[1]} if alternate else {"loss": losses[0]}
        return row | describe(jax.device_get(state.arch), architecture, self._config)

    def _epoch(
        self, program: Any, state: SearchState, key: PRNGKeyArray, progress: Progress
    ) -> tuple[SearchState, tuple[float, float]]:
        sums = []
        for first in range(0, self._steps, self._count):
            state, *losses = program(state, key, self._everywhere(np.int32(first)), self._w, self._a)
            sums.append(losses)
            progress.steps(self._count)
            if len(sums) > 1:  # a loss fetched late does not hold up the device
                progress.show(loss=float(sums[-2][0]) / self._count)
        loss, arch_loss = np.asarray(jax.device_get(sums), np.float64).mean(axis=0).tolist()
        return state, (loss / self._count, arch_loss / self._count)

    def _keep_best(
        self,
        state: SearchState,
        variables: Tree,
        best: Checkpoints,
        epoch: int,
        score: Score,
        architecture: Architecture,
    ) -> SearchState:
        if not score.value > float(state.best_value):
            return state
        best.save(epoch, variables)
        self._write_architecture(architecture)
        best_now = self._everywhere((np.float32(score.value), np.int32(epoch)))
        return dataclasses.replace(state, best_value=best_now[0], best_epoch=best_now[1])

    def _compile(self, state: SearchState, key: PRNGKeyArray, alternate: bool, progress: Progress) -> Any:
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
        arguments = (state, key, self._everywhere(np.int32(0)), self._w, self._a)
        jitted = jax.jit(steps, donate_argnums=0, out_shardings=whole(self._mesh))
        program = compile_step(phase, jitted, arguments, progress.say)
        progress.resume()
        return program

    def _decode(self, state: SearchState) -> Architecture:
        return decode_for(jax.device_get(state.arch), self._config)

    def _write_architecture(self, architecture: Architecture) -> None:
        architecture.save(self._folder.path / "architecture.json")
        draw_architecture(architecture, self._folder.path / "architecture.svg")


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
    )
