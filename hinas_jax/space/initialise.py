"""Fresh variables of a supernet or a network, all kernels from one draw.

``module.init`` works too and draws from the same distribution, but compiles one random generator for each kernel: a
supernet has hundreds. On 2 CPU cores that took 106 s for the default supernet, and one draw for all takes about 10.
"""

from __future__ import annotations

import math
from typing import Any, Final

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PRNGKeyArray

#: Every kernel ends in (height, width, in, out); operations' kernels lead with an edge axis.
FAN_IN: Final = slice(-4, -1)


def kernel_init(
    key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any = jnp.float32
) -> Float[Array, "*edge height width in out"]:
    """Uniform with variance 1 / fan_in (LeCun), fan_in = height * width * in of one edge."""
    bound = math.sqrt(3 / math.prod(shape[FAN_IN]))
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def initialise(module: nn.Module, key: PRNGKeyArray, channels: int) -> dict[str, Any]:
    """Variables of ``module`` for pictures of ``channels`` channels, as ``module.init`` would distribute them.

    Returns:
        {"params": ..., "batch_stats": ...} and, of a supernet, "arch" (alpha and beta all zero: all choices equal).
    """
    leaves, tree = jax.tree.flatten_with_path(variable_shapes(module, channels))
    sizes = [math.prod(leaf.shape) if _is_kernel(path) else 0 for path, leaf in leaves]
    draw = jax.random.uniform(key, (sum(sizes),), minval=-math.sqrt(3), maxval=math.sqrt(3))
    values, start = [], 0
    for (path, leaf), size in zip(leaves, sizes, strict=True):
        if size:
            values.append(draw[start : start + size].reshape(leaf.shape) / math.sqrt(math.prod(leaf.shape[FAN_IN])))
        else:
            values.append(jnp.ones(leaf.shape) if _last(path) in ("scale", "var") else jnp.zeros(leaf.shape))
        start += size
    variables: dict[str, Any] = jax.tree.unflatten(tree, values)
    return variables


def variable_shapes(module: nn.Module, channels: int) -> dict[str, Any]:
    """Shapes of ``module``'s variables for pictures of ``channels`` channels; nothing is computed."""
    picture = jax.ShapeDtypeStruct((1, 8, 8, channels), jnp.float32)
    shapes: dict[str, Any] = jax.eval_shape(lambda k, x: module.init(k, x, train=False), jax.random.key(0), picture)
    return shapes


def _last(path: tuple[Any, ...]) -> str:
    return str(path[-1].key)


def _is_kernel(path: tuple[Any, ...]) -> bool:
    if any(part.key == "residual" for part in path):  # the end's last convolution starts at zero
        return False
    return _last(path).startswith(("kernel", "depthwise", "pointwise"))
