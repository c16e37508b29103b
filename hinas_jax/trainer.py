"""What a step of a training does (section 4.1): one update of a network's kernels. Pure functions of its state."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Float, Int32, PRNGKeyArray

from hinas_jax.architecture import Architecture
from hinas_jax.compiling import scan_steps
from hinas_jax.config import Config, LossConfig
from hinas_jax.data.patches import Draws, PatchSource, Sizes, draw_patches, sample
from hinas_jax.divergence import Outcome, outcome
from hinas_jax.mesh import make_mesh, spread
from hinas_jax.objective import batch_loss
from hinas_jax.optimisers import training_optimiser
from hinas_jax.space.network import Network
from hinas_jax.space.operations import fastest_form
from hinas_jax.tasks import Task, crop_side, degrade_crops

Tree = Any


@struct.dataclass
class TrainState:
    """All that a training is, between two steps."""

    step: Int32[Array, ""]
    params: Tree
    batch_stats: Tree
    optimiser: optax.OptState


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
        )

    def loss_of(
        self, params: Tree, batch_stats: Tree, degraded: Float[Array, "..."], clean: Float[Array, "..."]
    ) -> tuple[Float[Array, ""], Tree]:
        """Eq. 7 on a batch, and the moved running statistics."""
        variables = {"params": params, "batch_stats": batch_stats}
        return batch_loss(self.net, self.task, self.loss, variables, degraded, clean)

    def step(
        self, state: TrainState, degraded: Float[Array, "..."], clean: Float[Array, "..."]
    ) -> tuple[TrainState, Outcome]:
        """One update on a batch."""
        gradient = jax.value_and_grad(self.loss_of, has_aux=True)
        (loss, batch_stats), grads = gradient(state.params, state.batch_stats, degraded, clean)
        updates, optimiser = self.optimiser.update(grads, state.optimiser, state.params)
        params = optax.apply_updates(state.params, updates)
        moved = dataclasses.replace(
            state, step=state.step + 1, params=params, batch_stats=batch_stats, optimiser=optimiser
        )
        return moved, outcome(loss, grads)


def make_trainer(config: Config, architecture: Architecture, mesh: Mesh | AbstractMesh) -> Trainer:
    """The trainer of ``architecture``, at the width it has, that a config describes."""
    return Trainer(
        net=Network(architecture, config.compute.precision, fastest_form()),
        task=config.task.build(),
        loss=config.loss,
        optimiser=training_optimiser(config.train),
        mesh=mesh,
    )


def train_steps(
    trainer: Trainer,
    state: TrainState,
    key: PRNGKeyArray,
    source: PatchSource,
    *,
    count: int,
    batch: int,
    patch: int,
) -> tuple[TrainState, Outcome]:
    """``count`` updates on random patches as one scan; returns the outcome of each too.

    Each step's randomness comes from ``key`` and the step's number, so a resumed training draws what it would have.
    """
    side = crop_side(trainer.task, patch)
    draws, degrade_keys = train_draws(key, state.step, source.sizes, count=count, batch=batch, side=side)

    def step(state: TrainState, inputs: tuple[Draws, PRNGKeyArray, Array]) -> tuple[TrainState, Outcome]:
        draws, degrade, place = inputs
        crops = sample(source, place, spread(draws, trainer.mesh), side)
        return trainer.step(state, *spread(degrade_crops(trainer.task, degrade, crops), trainer.mesh))

    return scan_steps(step, state, (draws, degrade_keys, jnp.arange(count)))


def train_draws(
    key: PRNGKeyArray, first: Int32[Array, ""], sizes: Sizes, *, count: int, batch: int, side: int
) -> tuple[Draws, PRNGKeyArray]:
    """What the ``count`` steps from ``first`` on take, and the keys of their degradations, one of each a step."""

    def draw(number: Int32[Array, ""]) -> tuple[Draws, PRNGKeyArray]:
        choose, crop, degrade = jax.random.split(jax.random.fold_in(key, number), 3)
        indices = jax.random.randint(choose, (batch,), 0, sizes.count)
        return draw_patches(crop, indices, sizes, side), degrade

    return jax.vmap(draw)(first + jnp.arange(count))
