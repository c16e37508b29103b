"""The run of a search: pictures in, epochs of steps, the architecture of the best supernet out."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int32, PRNGKeyArray

from hinas_jax.architecture import Architecture
from hinas_jax.batching import Batch, fit_batch
from hinas_jax.compiling import compile_step, steps_per_call
from hinas_jax.config import Config
from hinas_jax.data.patches import Draws, PatchSource, sizes_of
from hinas_jax.data.sources import PictureSet
from hinas_jax.divergence import DivergenceError, Outcome, group_names, mend
from hinas_jax.drawing import draw_architecture
from hinas_jax.feeding import Feed, load_parts, most_steps, picture_bytes, resident_feed, streamed_feed, streams
from hinas_jax.looping import Best, Loop, Plan
from hinas_jax.mesh import describe_mesh, make_mesh, replicate, whole
from hinas_jax.objective import f_net
from hinas_jax.processes import agree, is_first, require_same
from hinas_jax.progress import Progress
from hinas_jax.run_files import Row
from hinas_jax.runs import RunFolder
from hinas_jax.saying import Say
from hinas_jax.searcher import SearchState, make_searcher, search_draws, search_steps
from hinas_jax.tasks import Task, crop_side
from hinas_jax.validation import Score, Validation
from hinas_jax.watching import decode_for, describe, early_stop, skips_taking_over

Tree = Any


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
    require_same("config", f"{config.to_json()}, batch {batch}".encode())
    side = crop_side(task, config.search.patch)
    parts = agree(lambda: load_parts(config.data, task, config.seed, side, "the search", say))
    digests = {name: part.digest() for name, part in zip("WAV", parts, strict=True)}
    if batch == "auto":
        config = _fit_batch(config, workdir, parts[:2], restart, say)
    with RunFolder(workdir, config, "search", digests, restart=restart, say=say) as folder:
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
                functools.partial(f_net, self._searcher.net, self._searcher.task),
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
    rates = {name: getattr(config.search, name) for name in ("learning_rate", "arch_learning_rate")}
    return mend("search", rates, config.search.gradient_clip)
