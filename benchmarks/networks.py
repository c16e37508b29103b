"""The derived network: inference folded and not, known denoisers beside it, and a training fed in two ways."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jax
import numpy as np
from measuring import TORCH, Row, Step, in_turn, row_of

from hinas_jax.architecture import Architecture
from hinas_jax.compiling import compiler_options
from hinas_jax.config import LossConfig, TrainConfig
from hinas_jax.data.patches import PatchSource, to_device
from hinas_jax.data.sources import PictureSet
from hinas_jax.optimisers import training_optimiser
from hinas_jax.space.folded import apply_folded, fold
from hinas_jax.space.initialise import initialise
from hinas_jax.space.network import Network
from hinas_jax.space.operations import fastest_form
from hinas_jax.tasks import SuperResolve
from hinas_jax.trainer import Trainer, TrainState, train_steps
from hinas_jax.training import training_stream

#: A network of the paper's size for denoising, 0.34 M parameters, with all six operations; made up, not searched.
DERIVED: Final = Path(__file__).with_name("derived.json")


def inference(*, quick: bool, rounds: int) -> Iterator[Row]:
    """A derived network on one picture, folded and not, and known denoisers in PyTorch."""
    side = 64 if quick else 512
    x = jax.random.uniform(jax.random.key(0), (1, side, side, 1))
    derived = Architecture.load(DERIVED)
    composed, apart = Network(derived), Network(derived, form="apart")
    variables = initialise(composed, jax.random.key(1), 1)
    weights = jax.device_put(fold(derived, variables))
    programs: dict[str, tuple[Any, Any]] = {
        "network, composed kernels": (lambda v, x: composed.apply(v, x, train=False), variables),
        "network, depthwise apart": (lambda v, x: apart.apply(v, x, train=False), variables),
        "folded, composed kernels": (lambda w, x: apply_folded(derived, w, x, apart=False), weights),
        "folded, depthwise apart": (lambda w, x: apply_folded(derived, w, x, apart=True), weights),
    }
    rows: list[tuple[Row, Step]] = []
    for variant, (function, tree) in programs.items():
        start = time.perf_counter()
        lowered = jax.jit(function).lower(tree, x)
        traced = time.perf_counter()
        compiled = lowered.compile(compiler_options())
        row = row_of(variant, "inference", 1, side, derived.parameters(), lowered, compiled)
        row.trace_s, row.compile_s = traced - start, time.perf_counter() - traced
        rows.append((row, lambda c=compiled, t=tree: jax.block_until_ready(c(t, x))))
    if TORCH:
        rows += torch_denoisers(side)
    yield from in_turn(rows, rounds)


def torch_denoisers(side: int) -> list[tuple[Row, Step]]:
    """DnCNN and a network of FFDNet's size, in both memory formats."""
    import peer  # noqa: PLC0415
    import torch  # noqa: PLC0415

    device = "cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu"
    rows = []
    for name, make in (("torch DnCNN", peer.dncnn), ("torch FFDNet", peer.FFDNet)):
        for suffix, layout in (("", torch.contiguous_format), (", channels last", torch.channels_last)):
            net = make().to(device).to(memory_format=layout)
            x = torch.rand(1, 1, side, side, device=device).contiguous(memory_format=layout)

            def run(net: Any = net, x: Any = x) -> None:
                with torch.inference_mode():
                    float(net(x)[0, 0, 0, 0])

            parameters = sum(p.numel() for p in net.parameters())
            rows.append((Row(name + suffix, "inference", device, torch.__version__, 1, side, parameters), run))
    return rows


def feeding(*, quick: bool, rounds: int) -> Iterator[Row]:
    """A training step fed from pictures on the device, and from the host by grain: 100 pictures of 480x320, RGB."""
    side, count, batch, patch = (96, 6, 2, 16) if quick else (320, 100, 24, 64)
    rng = np.random.default_rng(0)
    pixels = tuple(rng.integers(0, 256, (side, side * 3 // 2, 3), np.uint8) for _ in range(count))
    pictures = PictureSet(tuple(f"{i:03d}" for i in range(count)), pixels)
    task, config = SuperResolve(4, 3), TrainConfig()
    architecture = dataclasses.replace(Architecture.load(DERIVED), task=task.name, channels=3, scale=4)
    trainer = Trainer(Network(architecture, form=fastest_form()), task, LossConfig(), training_optimiser(config))
    key = jax.random.key(0)
    state = trainer.init(initialise(trainer.net, key, 3))
    stream = training_stream(trainer, key, pictures, dataclasses.replace(config, batch_size=batch, patch=patch), 1)
    resident = to_device(pictures)
    rows: list[tuple[Row, Step]] = []
    for variant, feed in (("resident", lambda _: resident), ("streamed", stream)):

        def steps(state: TrainState, source: PatchSource) -> tuple[TrainState, Any]:
            return train_steps(trainer, state, key, source, count=1, batch=batch, patch=patch)

        lowered = jax.jit(steps).lower(state, feed(0))
        compiled = lowered.compile(compiler_options())
        row = row_of(variant, "training", batch, patch, architecture.parameters(), lowered, compiled)
        now = [state, 0]

        def step(compiled: Any = compiled, now: list[Any] = now, feed: Any = feed) -> None:
            now[0], told = compiled(now[0], feed(now[1]))
            now[1] += 1
            jax.block_until_ready(told)

        rows.append((row, step))
    yield from in_turn(rows, rounds)
