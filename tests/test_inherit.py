"""The claim that ties search to training: a one-hot supernet computes what its network computes.

The end of a supernet also sees the levels off the path: here its kernel is zero for them. And h_{l-2} enters
a cell from that cell's own level: where the path had another level two layers before, no node takes it here.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import KEPT, paths, picture, quick_jit, random_cell, random_variables

from hinas_jax.architecture import CellArchitecture, Edge
from hinas_jax.space.inherit import inherit
from hinas_jax.space.network import Network
from hinas_jax.space.one_hot import one_hot
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.space.supernet import SuperNet

DENOISE = {"task": "denoise", "channels": 1, "scale": 1}
ENLARGE = {"task": "super_resolve", "channels": 3, "scale": 2}


def space_of(nodes, factors, *, layerwise, sharing):
    return SearchSpace(
        layers=3,
        nodes=nodes,
        base_width=2,
        width_factors=factors,
        start_width=3,
        end_width=3,
        layerwise=layerwise,
        cell_sharing=sharing,
    )


SPACES = [
    (space_of(2, (1, 1.5, 2), layerwise=True, sharing=True), DENOISE),
    (space_of(2, (1, 1.5, 2), layerwise=True, sharing=False), DENOISE),
    (space_of(1, (1, 2), layerwise=False, sharing=True), ENLARGE),
    (space_of(1, (1, 2), layerwise=False, sharing=False), ENLARGE),
]
CASES = [
    pytest.param(
        space,
        task,
        path,
        id=f"{task['task']}-{'lwas' if space.layerwise else 'one_alpha'}"
        f"-{'shared' if space.cell_sharing else 'separate'}-{''.join(map(str, path))}",
    )
    for space, task in SPACES
    for path in paths(space)
]


def fits_two_layers_before(space, path, layer):
    """Whether h_{l-2} of a supernet's cell on the path comes from the path: the own level, or the nearest."""
    before = (0, 0, *path)[layer]
    return before == min(path[layer], max(space.levels(layer - 2)))


def random_architecture(space, task, path):
    rng = np.random.default_rng([*path, len(space.width_factors)])
    fits = [fits_two_layers_before(space, path, layer) for layer in range(space.layers)]
    if space.layerwise:
        cells = [random_cell(rng, space.nodes, skip_input=fit) for fit in fits]
    else:
        cells = [random_cell(rng, space.nodes, skip_input=all(fits))] * space.layers
    return space.architecture(cells, path, **task)


def both_ways(net):
    """A compiled function: outputs by running and by the batch's statistics, and the moved running ones."""

    def run(variables, x):
        trained, moved = net.apply(variables, x, train=True, mutable=["batch_stats"])
        return net.apply(variables, x, train=False), trained, moved["batch_stats"]

    return quick_jit(run)


@functools.cache
def supernet(space, channels, scale):
    net = SuperNet(space, channels, scale)
    return both_ways(net), random_variables(net, jnp.zeros((1, 8, 8, channels)), train=False)


@functools.cache
def network(architecture):
    """The network, and variables whose affine normalisation is the identity, as it is at first."""
    net = Network(architecture)
    variables = random_variables(net, jnp.zeros((1, 8, 8, architecture.channels)), seed=9, train=False)
    variables["params"] = jax.tree.map_with_path(
        lambda path, leaf: jnp.full_like(leaf, path[-1].key == "scale") if is_affine(path) else leaf,
        variables["params"],
    )
    return both_ways(net), variables


def is_affine(path):
    """Whether a leaf is the scale or the bias of a batch normalisation."""
    return path[-2].key.startswith("norm") and path[-1].key in ("scale", "bias")


def without_levels_off_the_path(variables, space, level):
    """The supernet's variables with zeros for them in the kernel of the end."""
    widths = [space.nodes * width for width in space.widths]
    rows = np.repeat(np.arange(len(widths)), widths) == level
    end = variables["params"]["end"]
    conv = {**end["conv_0"], "kernel": end["conv_0"]["kernel"] * rows[:, None]}
    return {**variables, "params": {**variables["params"], "end": {**end, "conv_0": conv}}}


@pytest.mark.parametrize(("space", "task", "path"), CASES)
def test_a_one_hot_supernet_computes_what_its_network_computes(space, task, path):
    architecture = random_architecture(space, task, path)
    run_supernet, variables = supernet(space, task["channels"], task["scale"])
    variables = without_levels_off_the_path(variables, space, path[-1])
    variables["arch"] = one_hot(architecture, space)
    run_network, fresh = network(architecture)
    x = picture(2, 8, 7, task["channels"])

    evaluated, trained, moved = run_supernet(variables, x)
    own_evaluated, own_trained, own_moved = run_network(inherit(fresh, variables, architecture, space), x)

    assert evaluated.shape == (2, 8 * task["scale"], 7 * task["scale"], task["channels"])
    for ours, theirs in ((own_evaluated, evaluated), (own_trained, trained)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * float(jnp.std(theirs)))
    carried = inherit(fresh, {**variables, "batch_stats": moved}, architecture, space)["batch_stats"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), own_moved, carried)


def test_the_cases_cover_all_operations_sources_and_paths():
    architectures = [random_architecture(*case.values) for case in CASES]
    edges = [edge for a in architectures for cell in a.cells for edges in cell.nodes for edge in edges]
    assert {edge.operation for edge in edges} == set(KEPT)
    assert {edge.source for edge in edges} == {0, 1, 2}
    assert [len(paths(space)) for space, _ in SPACES] == [12, 12, 8, 8]
    matching = [
        all(fits_two_layers_before(space, path, layer) for layer in range(3))
        for space, _, path in (case.values for case in CASES)
    ]
    assert any(matching) and not all(matching)


def test_every_kernel_is_carried_over_but_a_skip_router_of_another_level():
    space, path = SPACES[0][0], (1, 1, 0)
    cell = CellArchitecture(((Edge(0, "conv3"), Edge(1, "sep5")), (Edge(1, "dil5"), Edge(2, "dil3"))))
    architecture = space.architecture([cell] * 3, path, **DENOISE)
    _, variables = supernet(space, 1, 1)
    _, fresh = network(architecture)
    carried = inherit(fresh, variables, architecture, space)
    same = jax.tree.map(lambda a, b: bool(np.array_equal(a, b)), carried, fresh)
    assert jax.tree.structure(carried) == jax.tree.structure(fresh)
    stays = {
        "/".join(part.key for part in path)
        for path, equal in jax.tree.leaves_with_path(same)
        if equal and not is_affine(path)
    }
    assert stays == {
        "params/skip_router_2/conv/kernel",
        "batch_stats/skip_router_2/norm/mean",
        "batch_stats/skip_router_2/norm/var",
    }


def test_the_affine_part_of_normalisation_stays_as_the_network_has_it():
    space, path = SPACES[0][0], (0, 0, 0)
    architecture = random_architecture(space, DENOISE, path)
    fresh = random_variables(Network(architecture), jnp.zeros((1, 8, 8, 1)), seed=3, train=False)
    carried = inherit(fresh, supernet(space, 1, 1)[1], architecture, space)
    leaves = zip(jax.tree.leaves_with_path(fresh), jax.tree.leaves(carried), strict=True)
    affine = [(old, new) for (path, old), new in leaves if is_affine(path)]
    assert affine
    for old, new in affine:
        np.testing.assert_array_equal(old, new)
