"""The fixed parts around the cells, the same in supernet and network: start, router, end (section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from hinas_jax.space.initialise import kernel_init
from hinas_jax.space.normalisation import BatchNorm
from hinas_jax.space.operations import leaky_relu


class Start(nn.Module):
    """Two 3x3 convolutions that make the shallow feature."""

    width: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width channel"]) -> Float[Array, "batch height width start"]:
        """The shallow feature of a degraded picture with values in [0, 1]."""
        x = _conv3(x, self.width, "conv_0")
        return _conv3(leaky_relu(x), self.width, "conv_1")


class Router(nn.Module):
    """The 1x1 convolution that makes a feature f of a layer's output h, of the width of the cell it enters."""

    width: int
    affine: bool = False

    @nn.compact
    def __call__(
        self, h: Float[Array, "batch height width channel"], *, train: bool
    ) -> Float[Array, "batch height width out"]:
        """The feature f of ``h``: 1x1 convolution and batch normalisation, no activation."""
        y = nn.Conv(self.width, (1, 1), use_bias=False, kernel_init=kernel_init, dtype=h.dtype, name="conv")(h)
        return BatchNorm(self.affine, name="norm")(y, train=train).apply(y)


class End(nn.Module):
    """Two 3x3 convolutions, and for super-resolution a pixel shuffle, that make the residual (sections 3.2, 3.3).

    The last one starts at zero, so that f_net = f_res + f_skip starts as f_skip: the degraded picture, and not noise.
    """

    width: int
    channels: int
    scale: int

    @nn.compact
    def __call__(
        self, h: Float[Array, "batch height width channel"]
    ) -> Float[Array, "batch height*scale width*scale out"]:
        """The residual f_res(x), in units of the picture's [0, 1]."""
        x = leaky_relu(_conv3(h, self.width, "conv_0"))
        x = _conv3(x, self.channels * self.scale**2, "residual", nn.initializers.zeros)
        return pixel_shuffle(x, self.scale)


def _conv3(
    x: Float[Array, "batch height width channel"], width: int, name: str, init: Callable[..., Array] = kernel_init
) -> Float[Array, "batch height width out"]:
    y: Float[Array, "..."] = nn.Conv(width, (3, 3), kernel_init=init, dtype=x.dtype, name=name)(x)
    return y


def pixel_shuffle(
    x: Float[Array, "batch height width channel*scale*scale"], scale: int
) -> Float[Array, "batch height*scale width*scale channel"]:
    """Move channels to space: channel (i * scale + j) * C + c becomes row i, column j of each block, channel c."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, scale, scale, channels // scale**2)
    return jnp.moveaxis(x, 3, 2).reshape(batch, height * scale, width * scale, channels // scale**2)
