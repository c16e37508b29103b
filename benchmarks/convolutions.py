"""Convolutions of the supernet's shapes one by one, as XLA compiles them and as this project has them compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import jax
from measuring import Row, Step, in_turn, row_of

from hinas_jax.compiling import compiler_options
from hinas_jax.space.convolution import convolve

#: Channels in and out, kernel size.
SHAPES: Final = ((10, 40, 5), (20, 20, 5), (40, 40, 3), (40, 40, 5), (40, 160, 5), (64, 64, 3))

COMPILED: Final = ("by XLA's choice", "by ours")


def convolutions(*, quick: bool, rounds: int) -> Iterator[Row]:
    """The result of each convolution, and its gradients by the picture and by the kernel."""
    batch, patch = (2, 16) if quick else (8, 64)
    for channels, out, size in SHAPES[:1] if quick else SHAPES:
        keys = jax.random.split(jax.random.key(0), 3)
        x = jax.random.normal(keys[0], (batch, patch, patch, channels))
        kernel = jax.random.normal(keys[1], (size, size, channels, out))
        gradient = jax.random.normal(keys[2], (batch, patch, patch, out))
        rows: list[tuple[Row, Step]] = []
        for phase, function, arguments in _programs(x, kernel, gradient):
            for how, options in zip(COMPILED, ({}, compiler_options()), strict=True):
                lowered = jax.jit(function).lower(*arguments)
                compiled = lowered.compile(options)
                variant = f"{channels} to {out}, {size}x{size}, {how}"
                row = row_of(variant, phase, batch, patch, kernel.size, lowered, compiled)
                rows.append((row, lambda c=compiled, a=arguments: jax.block_until_ready(c(*a))))
        yield from in_turn(rows, rounds)


def _programs(
    x: jax.Array, kernel: jax.Array, gradient: jax.Array
) -> list[tuple[str, Callable[..., Any], tuple[jax.Array, jax.Array]]]:
    def by_picture(kernel: jax.Array, gradient: jax.Array) -> Any:
        return jax.vjp(lambda x: convolve(x, kernel, 1), x)[1](gradient)

    def by_kernel(x: jax.Array, gradient: jax.Array) -> Any:
        return jax.vjp(lambda kernel: convolve(x, kernel, 1), kernel)[1](gradient)

    return [
        ("result", lambda x, kernel: convolve(x, kernel, 1), (x, kernel)),
        ("gradient by the picture", by_picture, (kernel, gradient)),
        ("gradient by the kernel", by_kernel, (x, gradient)),
    ]
