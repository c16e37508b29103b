"""The steps of a search, and a network, lower for GPUs of both makers and TPU on a machine that has none of them."""

import dataclasses

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType
from tiny import picture, random_variables

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.config import ComputeConfig, Config, LossConfig, SearchConfig, TaskConfig, TrainConfig
from hinas_jax.data.patches import draw_patches, sample, sizes_of, to_device
from hinas_jax.data.sources import PictureSet
from hinas_jax.data.streaming import StreamedPatches
from hinas_jax.mesh import DATA, whole
from hinas_jax.objective import f_net
from hinas_jax.optimisers import training_optimiser
from hinas_jax.searcher import make_searcher, search_steps
from hinas_jax.space.folded import apply_folded, fold
from hinas_jax.space.initialise import initialise, variable_shapes
from hinas_jax.space.network import Network
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.tasks import crop_side, degrade_crops, restore, task_of
from hinas_jax.trainer import Trainer, train_steps

PLATFORMS = ("cuda", "rocm", "tpu")
SPACE = SearchSpace(layers=1, nodes=1, base_width=2, width_factors=(1, 2), start_width=2, end_width=2)


def lower(function, *arguments, **options):
    exported = jax.export.export(jax.jit(function, **options), platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS
    return exported


TASKS = {
    "denoise": TaskConfig(),
    "super_resolve": TaskConfig("super_resolve", scale=2, channels=3),
}


#: With what each one draws: a strength of a set, or of a range.
DEGRADATIONS = {
    "denoise": TaskConfig(draw="range"),
    "super_resolve": TASKS["super_resolve"],
    "deblock": TaskConfig("deblock"),
    "deblock in colour": TaskConfig("deblock", channels=3, draw="range"),
    "deblur": TaskConfig("deblur", blurs=(0.5, 1.0), channels=3),
    "paired": TaskConfig("paired", channels=3),
}


def shapes(tree):
    return [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(tree)]


def outcomes(tree, *steps):
    """Shapes of what updates of these parameters tell: the loss, and the gradient's peak in each group."""
    return [(steps, jnp.float32), ((*steps, len(tree)), jnp.float32)]


def told(exported):
    return [(aval.shape, aval.dtype) for aval in exported.out_avals]


def source_of(task):
    pixels = np.zeros((30, 31, task.channels), np.uint8)
    return to_device(PictureSet(("a", "b"), (pixels, pixels)), page=64)


@pytest.mark.parametrize(("step", "moved"), [("weight_step", "params"), ("arch_step", "arch")])
@pytest.mark.parametrize("name", TASKS)
def test_the_steps_of_a_search_lower(step, moved, name):
    task = TASKS[name]
    searcher = make_searcher(Config(task=task, space=SPACE, search=SearchConfig(patch=12)), 5)
    state = jax.eval_shape(searcher.init, jax.random.key(0))
    degraded = picture(2, 12, 12, task.channels)
    clean = picture(2, 12 * task.scale, 12 * task.scale, task.channels)
    exported = lower(getattr(searcher, step), state, degraded, clean)
    assert told(exported) == shapes(state) + outcomes(getattr(state, moved))


@pytest.mark.parametrize("name", DEGRADATIONS)
@pytest.mark.parametrize("residence", ["device", "host"])
def test_sampling_and_degrading_lower(name, residence):
    """What comes before the network in every step, of pictures on the device and of patches from the host."""
    task = DEGRADATIONS[name].build()
    side, data_channels = crop_side(task, 12), task.channels * (2 if task.paired else 1)
    pictures = PictureSet(("a",), (np.zeros((side + 1, side + 2, data_channels), np.uint8),))
    squares = jnp.zeros((1, 2, side, side, data_channels), jnp.uint8)
    source = to_device(pictures) if residence == "device" else StreamedPatches(squares, sizes_of(pictures))

    def take(seed, step, source):
        draw, degrade = jax.random.split(jax.random.key(seed))
        draws = draw_patches(draw, jnp.zeros(2, jnp.int32), source.sizes, side)
        return degrade_crops(task, degrade, sample(source, step, draws, side))

    exported = lower(take, 0, jnp.asarray(0, jnp.int32), source)
    clean = 12 * task.scale
    expected = [((2, 12, 12, task.channels), jnp.float32), ((2, clean, clean, task.channels), jnp.float32)]
    assert told(exported) == expected


def test_the_step_of_alpha_and_beta_lowers_in_bfloat16_recomputed_and_of_second_order():
    compute = ComputeConfig(precision="bfloat16", remat="cell")
    settings = SearchConfig(patch=12, arch_gradient="second-order")
    space = dataclasses.replace(SPACE, width_factors=(1,))  # the step is the largest program here
    searcher = make_searcher(Config(space=space, search=settings, compute=compute), 5)
    state = jax.eval_shape(searcher.init, jax.random.key(0))
    a, w = (picture(2, 12, 12, 1), picture(2, 12, 12, 1)), (picture(2, 12, 12, 1), picture(2, 12, 12, 1))
    exported = lower(lambda state, a, w: searcher.arch_step(state, *a, w), state, a, w)
    assert told(exported) == shapes(state) + outcomes(state.arch)
    assert "bf16" in exported.mlir_module()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", TASKS)
def test_the_evaluation_of_a_supernet_lowers(name, precision):
    """What runs on the tiles of V."""
    task = TASKS[name]
    searcher = make_searcher(Config(task=task, space=SPACE, compute=ComputeConfig(precision=precision)), 5)
    state = jax.eval_shape(searcher.init, jax.random.key(0))
    variables = {"params": state.params, "arch": state.arch, "batch_stats": state.batch_stats}
    tiles = picture(2, 12, 12, task.channels)
    exported = lower(lambda variables, tiles: f_net(searcher.net, searcher.task, variables, tiles), variables, tiles)
    clean = 12 * task.scale
    assert told(exported) == [((2, clean, clean, task.channels), jnp.float32)]


@pytest.mark.parametrize("name", TASKS)
def test_an_epoch_of_a_search_lowers(name):
    """The program that accelerators run: sampling, degrading and both steps, scanned."""
    task = TASKS[name]
    searcher = make_searcher(Config(task=task, space=SPACE, search=SearchConfig(patch=12)), 5)
    state = jax.eval_shape(searcher.init, jax.random.key(0))

    def epoch(state, seed, first, w, a):
        key = jax.random.key(seed)
        return search_steps(searcher, state, key, first, w, a, steps=2, count=2, batch=2, patch=12, alternate=True)

    source = source_of(task)
    exported = lower(epoch, state, 0, jnp.asarray(0, jnp.int32), source, source)
    assert told(exported) == shapes(state) + outcomes(state.arch, 2) + outcomes(state.params, 2)
    assert "stablehlo.while" in exported.mlir_module()


def test_an_epoch_of_a_search_on_eight_devices_lowers():
    """Batches cut in eight, everything else whole on each: what the same program is on a mesh of eight."""
    mesh = AbstractMesh((8,), (DATA,), axis_types=(AxisType.Auto,))
    searcher = make_searcher(Config(space=SPACE, search=SearchConfig(patch=12)), 5, mesh)
    state = jax.eval_shape(searcher.init, jax.random.key(0))

    def epoch(state, seed, first, w, a):
        key = jax.random.key(seed)
        return search_steps(searcher, state, key, first, w, a, steps=2, count=2, batch=8, patch=12, alternate=True)

    source = source_of(TASKS["denoise"])
    on_all = {"in_shardings": whole(mesh), "out_shardings": whole(mesh)}
    shapes_only = jax.eval_shape(lambda *tree: tree, np.int32(0), np.int32(0), source, source)
    exported = lower(epoch, state, *shapes_only, **on_all)
    assert exported.nr_devices == 8
    assert f'{{"{DATA}"}}' in exported.mlir_module()  # some arrays are cut along the mesh


@pytest.mark.parametrize("name", TASKS)
def test_a_stretch_of_training_lowers(name):
    task = TASKS[name]
    network = Network(architecture(task.name, task.channels, task.scale))
    trainer = Trainer(network, task.build(), LossConfig(), training_optimiser(TrainConfig()))
    state = jax.eval_shape(lambda: trainer.init(initialise(network, jax.random.key(0), task.channels)))

    def stretch(state, seed, source):
        return train_steps(trainer, state, jax.random.key(seed), source, count=2, batch=2, patch=12)

    exported = lower(stretch, state, 0, source_of(task))
    assert told(exported) == shapes(state) + outcomes(state.params, 2)
    assert "stablehlo.while" in exported.mlir_module()


def architecture(task, channels, scale):
    """A network that holds all six operations."""
    cells = tuple(
        CellArchitecture(((Edge(0, name), Edge(1, other)),))
        for name, other in zip(("conv3", "sep3", "skip"), ("dil3", "sep5", "dil5"), strict=True)
    )
    return Architecture(cells, (0, 1, 1), 2, (1, 2), task, channels, scale, start_width=2, end_width=2)


@pytest.mark.parametrize(("task", "channels", "scale"), [("denoise", 1, 1), ("super_resolve", 3, 3)])
def test_a_network_lowers(task, channels, scale):
    network = Network(architecture(task, channels, scale))
    x = picture(1, 8, 9, channels)
    exported = lower(lambda v, x: network.apply(v, x, train=False), variable_shapes(network, channels), x)
    assert exported.out_avals[0].shape == (1, 8 * scale, 9 * scale, channels)


@pytest.mark.parametrize(("task", "channels", "scale"), [("denoise", 1, 1), ("super_resolve", 3, 3)])
def test_the_inference_of_a_network_lowers(task, channels, scale):
    """What restores pictures: normalisation folded into the kernels, and f_skip added."""
    found = architecture(task, channels, scale)
    x = picture(1, 8, 9, channels)
    weights = fold(found, random_variables(Network(found), x, train=False))
    exported = lower(lambda w, x: restore(task_of(found), apply_folded(found, w, x, apart=False), x), weights, x)
    assert exported.out_avals[0].shape == (1, 8 * scale, 9 * scale, channels)
