"""What a step of a search does (section 3.4): kernels move on W, alpha and beta on A. Pure functions of its state."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.sharding import AbstractMesh, Mesh
from jaxtyping import Array, Float, Int32, PRNGKeyArray

from hinas_jax.arch_gradients import ArchGradient, Patches, chosen, first_order
from hinas_jax.compiling import scan_steps
from hinas_jax.config import Config, LossConfig
from hinas_jax.data.patches import Draws, PatchSource, Sizes, draw_patches, epoch_order, sample
from hinas_jax.divergence import Outcome, outcome
from hinas_jax.mesh import make_mesh, spread
from hinas_jax.objective import batch_loss
from hinas_jax.optimisers import arch_optimiser, weight_optimiser
from hinas_jax.space.initialise import initialise
from hinas_jax.space.supernet import SuperNet
from hinas_jax.tasks import Task, crop_side, degrade_crops

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


def supernet_of(config: Config) -> SuperNet:
    """The supernet that a config describes."""
    task, compute = config.task.build(), config.compute
    return SuperNet(config.space, task.channels, task.scale, compute.precision, compute.remat)


def make_searcher(config: Config, steps_per_epoch: int, mesh: Mesh | AbstractMesh | None = None) -> Searcher:
    """The searcher that a config describes, on ``mesh`` or else on all devices that can share its batch."""
    task = config.task.build()
    return Searcher(
        net=supernet_of(config),
        task=task,
        loss=config.loss,
        weights=weight_optimiser(config.search, config.search.epochs * steps_per_epoch),
        architecture=arch_optimiser(config.search),
        mesh=mesh or make_mesh(config.search.batch_size),
        arch_gradient=chosen(config),
    )


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
