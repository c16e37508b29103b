"""One compilation a phase, and what is said of the memory that a program takes."""

import dataclasses
import re

import jax
import jax.monitoring
import jax.numpy as jnp
import pytest

from hinas_jax import compiling
from hinas_jax.cli.mistakes import mistakes
from hinas_jax.compiling import MemoryNeedError, compile_step
from hinas_jax.runs import RunFolder
from hinas_jax.searching import search
from hinas_jax.space.convolution import convolve


def test_a_deterministic_program_is_asked_of_xla_on_a_gpu_by_a_name_that_it_knows(monkeypatch):
    assert compiling.compiler_options(deterministic=True) == compiling.compiler_options()  # a CPU needs nothing
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiling.compiler_options() == {}
    options = compiling.compiler_options(deterministic=True)
    monkeypatch.undo()
    jax.jit(lambda x: x + 1).lower(1.0).compile(options)
    with pytest.raises(Exception, match="xla_gpu_determinism"):
        jax.jit(lambda x: x + 2).lower(1.0).compile({"xla_gpu_determinism": True})


def test_convolutions_on_a_cpu_are_shared_by_its_cores():
    """YNNPACK, to which XLA gives them otherwise, would run each on one core."""
    x, kernel = jnp.ones((2, 32, 32, 40)), jnp.ones((3, 3, 40, 40))
    gradients = jax.grad(lambda x, kernel: (convolve(x, kernel, 1) ** 2).sum(), argnums=(0, 1))
    lowered = jax.jit(gradients).lower(x, kernel)
    assert "ynn_fusion" in lowered.compile().as_text()
    ours = lowered.compile(compiling.compiler_options()).as_text()
    assert ours.count(" convolution(") == 3
    assert "ynn_fusion" not in ours


def test_what_is_kept_is_computed_once_on_a_cpu():
    """XLA would drop the barrier, and compute the sum again in each of the two that take it."""

    def both(x):
        total = jax.lax.optimization_barrier(x + jnp.sin(x[::-1]) + x.T)
        return total.T * 2, total[::-1] + 1

    lowered = jax.jit(both).lower(jnp.ones((256, 256)))
    assert "opt-barrier" not in lowered.compile().as_text()
    assert "opt-barrier" in lowered.compile(compiling.compiler_options()).as_text()


def test_an_option_that_xla_does_not_know_is_left_out(monkeypatch):
    known = compiling.compiler_options()
    monkeypatch.setattr(compiling, "CPU_OPTIONS", known | {"xla_cpu_of_another_age": "true"})
    assert compiling.compiler_options() == known


def test_a_search_compiles_nothing_after_the_first_epoch_of_each_phase(
    tiny_config, tmp_path, monkeypatch, quick_compiling
):
    """Epoch 1 begins the warm-up, epoch 2 the alternation and the evaluation on V; 3 to 5 only run."""
    del quick_compiling
    compiled = {}
    epoch = 1
    append = RunFolder.append_metrics

    def count(name, seconds, **_):
        if name == "/jax/core/compile/backend_compile_duration":
            compiled[epoch] = compiled.get(epoch, 0) + 1

    def append_and_turn(folder, row):
        nonlocal epoch
        append(folder, row)
        epoch = row["epoch"] + 1

    monkeypatch.setattr(RunFolder, "append_metrics", append_and_turn)
    jax.monitoring.register_event_duration_secs_listener(count)
    try:
        search(dataclasses.replace(tiny_config, seed=11), tmp_path, say=lambda _: None)
    finally:
        epoch = 0  # JAX cannot take a listener back
    assert compiled.keys() == {1, 2}
    jax.jit(lambda x: x + 11.5)(jnp.ones(3))
    assert 0 in compiled  # it still counts, so it would have counted


@pytest.mark.parametrize(
    ("backend", "steps", "most", "count"),
    [
        ("gpu", 1000, 2**31, 50),  # so that a run can save and stop within
        ("tpu", 96, 2**31, 48),
        ("gpu", 53, 2**31, 1),
        ("gpu", 6, 2**31, 6),
        ("gpu", 1000, 30, 25),  # a stream sends no more patches at once
        ("gpu", 6, 0, 1),
        ("cpu", 1000, 2**31, 1),
    ],
)
def test_the_steps_of_a_call_divide_a_stretch_and_end_soon(monkeypatch, backend, steps, most, count):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert compiling.steps_per_call(steps, most) == count


def test_the_memory_of_a_program_is_told():
    said = []
    x = jnp.ones((512, 1024))  # 2 MiB
    compile_step("the steps", jax.jit(lambda x: (x @ x.T).sum()), (x,), said.append)
    assert re.fullmatch(r"the steps: 0\.00 GiB of memory, 0\.00 GiB of it features and gradients", said[-1])


def test_a_program_that_cannot_fit_is_refused_with_what_would_help(monkeypatch):
    monkeypatch.setattr(compiling, "device_bytes", lambda: 2**20)
    with pytest.raises(MemoryNeedError, match=r"need 0\.00 GiB .* the device has 0\.00 GiB; a smaller batch") as caught:
        compile_step("the steps", jax.jit(lambda x: x + 1), (jnp.ones((512, 1024)),), lambda _: None)
    assert "\n" not in str(caught.value)
    assert MemoryNeedError in mistakes()


def test_a_program_that_takes_most_of_the_memory_is_told_what_would_help(monkeypatch):
    monkeypatch.setattr(compiling, "device_bytes", lambda: 6 * 2**20)
    said = []
    compile_step("the steps", jax.jit(lambda x: x + 1), (jnp.ones((512, 1024)),), said.append)
    assert "--compute.remat cell" in said[-1]


def test_this_machine_says_how_much_memory_it_has():
    assert compiling.device_bytes() > 2**28
