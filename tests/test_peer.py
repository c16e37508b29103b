"""The benchmark's PyTorch peer is the same supernet: equal parameter counts, outputs, losses and gradients."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import picture, quick_jit, random_variables

from hinas_jax.losses import restoration_loss
from hinas_jax.space.search_space import SearchSpace
from hinas_jax.space.supernet import SuperNet

torch = pytest.importorskip("torch", reason="needs PyTorch, which only the benchmark uses")
import peer  # noqa: E402

SPACE = SearchSpace(layers=3, nodes=2, base_width=2, width_factors=(1, 2, 4), start_width=3, end_width=4)


@pytest.fixture(scope="module")
def both():
    ours = SuperNet(SPACE, plain=True)
    x = picture(2, 14, 15, 1)
    variables = random_variables(ours, x, train=False)
    theirs = peer.SuperNet(SPACE)
    peer.carry(theirs, variables["params"], variables["arch"])
    return ours, variables, theirs, x


def to_torch(x):
    return torch.from_numpy(np.array(x).transpose(0, 3, 1, 2))


def test_the_paper_size_has_as_many_parameters():
    space = SearchSpace()
    shapes = jax.eval_shape(lambda: SuperNet(space).init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)), train=False))
    ours = sum(leaf.size for leaf in jax.tree.leaves(shapes["params"]))
    assert sum(parameter.numel() for parameter in peer.SuperNet(space).weights()) == ours


def test_loss_and_gradients_are_equal(both):
    ours, variables, theirs, x = both
    clean = picture(*x.shape, seed=1)

    def loss(params, arch):
        given = {**variables, "params": params, "arch": arch}
        residual, _ = ours.apply(given, x, train=True, mutable=["batch_stats"])
        return restoration_loss(x + residual, clean, ssim_weight=0.6, pixel_loss="l2"), residual

    (value, residual), (params, arch) = quick_jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(
        variables["params"], variables["arch"]
    )
    output = theirs(to_torch(x))
    np.testing.assert_allclose(output.detach().numpy().transpose(0, 2, 3, 1), residual, rtol=1e-3, atol=1e-3)
    other = peer.restoration_loss(to_torch(x) + output, to_torch(clean), 0.6)
    assert float(other.detach()) == pytest.approx(float(value), rel=1e-4)
    alpha, beta, first = torch.autograd.grad(other, [theirs.alpha, theirs.beta, theirs.start[0].weight])
    for mine, yours in (
        (arch["alpha"], alpha),
        (arch["beta"], beta),
        (params["start"]["conv_0"]["kernel"].transpose(3, 2, 0, 1), first),
    ):
        np.testing.assert_allclose(yours.numpy(), mine, rtol=0, atol=2e-3 * float(jnp.abs(mine).max()))


def test_a_step_moves_only_what_it_should(both):
    *_, theirs, x = both
    before = {name: value.clone() for name, value in theirs.state_dict().items()}
    degraded, clean = to_torch(x), to_torch(picture(*x.shape, seed=1))
    peer.arch_step(theirs, torch.optim.Adam([theirs.alpha, theirs.beta]))(degraded, clean)
    moved = {name for name, parameter in theirs.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == {"alpha", "beta"}
    peer.weight_step(theirs, torch.optim.SGD(theirs.weights(), 0.01), 0.5)(degraded, clean)
    assert not torch.equal(theirs.start[0].weight, before["start.0.weight"])


def test_the_denoisers_have_their_published_sizes():
    assert sum(parameter.numel() for parameter in peer.FFDNet().parameters()) == pytest.approx(0.49e6, rel=0.02)
    assert sum(parameter.numel() for parameter in peer.dncnn().parameters()) == pytest.approx(0.556e6, rel=0.01)
    assert peer.FFDNet()(torch.zeros(1, 1, 8, 6)).shape == (1, 1, 8, 6)
    assert dataclasses.replace(SPACE).edges == 5
