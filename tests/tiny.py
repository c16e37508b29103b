"""Small nets that compile fast, and random variables for them."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np

from hinas_jax.architecture import OPERATIONS, Architecture, CellArchitecture, Edge
from hinas_jax.compiling import compiler_options

#: All operations that an edge can keep.
KEPT = tuple(name for name in OPERATIONS if name != "none")

SMALLEST = Architecture(
    cells=(CellArchitecture(((Edge(0, "skip"), Edge(1, "skip")),)),),
    levels=(0,),
    base_width=2,
    width_factors=(1,),
    start_width=2,
    end_width=2,
)

#: On JAX 0.10 XLA can write fusions without going by MLIR, which takes as long again; later ones know no other way.
FUSIONS = "xla_cpu_use_fusion_emitters"
#: What XLA is told for programs that run a few times: to compile without LLVM's optimisations, and so.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True} | (
    {FUSIONS: False} if jax.__version_info__ < (0, 11) else {}
)
#: The same for the environment of a process.
QUICK_FLAGS = " ".join(f"--{name}={str(value).lower()}" for name, value in QUICK.items())

#: jax.jit for small nets that run a few times.
quick_jit = functools.partial(jax.jit, compiler_options=QUICK)


def picture(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def random_variables(module, *arguments, seed=0, **keywords):
    """Variables of a module with every leaf random, so that none can hide behind a zero or a one."""
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *arguments, **keywords))
    rng = np.random.default_rng(seed)
    return jax.tree.map_with_path(lambda path, leaf: _draw(rng, path[-1].key, leaf.shape), shapes)


def _draw(rng, name, shape):
    if name in ("var", "scale"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name in ("mean", "bias"):
        values = rng.normal(0, 0.3, shape)
    elif name in ("alpha", "beta"):
        values = rng.normal(0, 1, shape)
    else:
        values = rng.normal(0, 1 / math.sqrt(math.prod(shape[-4:-1])), shape)
    return jnp.asarray(values, jnp.float32)


def paths(space):
    """All paths of levels through a supernet, by brute force."""
    steps = itertools.product(*(space.levels(layer) for layer in range(space.layers)))
    return [p for p in steps if all(abs(a - b) <= 1 for a, b in itertools.pairwise((0, *p)))]


def random_cell(rng, nodes, *, skip_input=True):
    """A cell whose nodes keep two random inputs each; without ``skip_input`` none takes h_{l-2}."""
    cell = []
    for node in range(nodes):
        sources = [s for s in range(node + 2) if skip_input or s != 1]
        kept = sorted(rng.choice(sources, min(2, len(sources)), replace=False).tolist())
        cell.append(tuple(Edge(source, str(rng.choice(KEPT))) for source in kept))
    return CellArchitecture(tuple(cell))


def counted(monkeypatch):
    """A list that grows by one with each program that is compiled ahead of its call."""
    compiler_options()  # asks XLA once a process what it knows, by compiling a line
    compiled, compile_well = [], jax.stages.Lowered.compile

    def compile_and_count(lowered, *arguments, **keywords):
        compiled.append(lowered)
        return compile_well(lowered, *arguments, **keywords)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compile_and_count)
    return compiled
