"""The same supernet in PyTorch, and two known denoisers, for the benchmark alone. NCHW; needs the package torch.

Written as a PyTorch user would write it: one module an edge and operation, depthwise and pointwise convolutions as
grouped ones. ``carry`` takes over the weights of a supernet of ours in its plain form.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from hinas_jax.space.search_space import MOVES, SearchSpace

Tree = Mapping[str, Any]


def convolution(width: int, size: int, dilation: int = 1) -> nn.Sequential:
    """LeakyReLU, convolution, batch normalisation."""
    return nn.Sequential(
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, size, padding=dilation * (size // 2), dilation=dilation, bias=False),
        nn.BatchNorm2d(width, affine=False),
    )


def separable(width: int, size: int) -> nn.Sequential:
    """LeakyReLU, depthwise, pointwise convolution, batch normalisation; twice."""
    half = [
        [
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, size, padding=size // 2, groups=width, bias=False),
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width, affine=False),
        ]
        for _ in range(2)
    ]
    return nn.Sequential(*itertools.chain(*half))


class Edge(nn.Module):
    """All operations of an edge, summed with the weights of its row of alpha; none adds nothing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv3, self.sep3, self.sep5 = convolution(width, 3), separable(width, 3), separable(width, 5)
        self.dil3, self.dil5, self.skip = convolution(width, 3, 2), convolution(width, 5, 2), nn.Identity()

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        operations = (self.conv3, self.sep3, self.sep5, self.dil3, self.dil5, self.skip)
        return sum(weight * operation(x) for weight, operation in zip(alpha, operations, strict=False))


class Cell(nn.Module):
    """N nodes, each the sum of the edges from both inputs and all earlier nodes."""

    def __init__(self, nodes: int, width: int) -> None:
        super().__init__()
        self.nodes = nodes
        self.edges = nn.ModuleList(Edge(width) for node in range(nodes) for _ in range(node + 2))

    def forward(self, h1: Tensor, h2: Tensor, alpha: Tensor) -> Tensor:
        features, rows = [h1, h2], iter(zip(self.edges, alpha, strict=True))
        for _ in range(self.nodes):
            features.append(sum(edge(x, row) for x, (edge, row) in zip(list(features), rows, strict=False)))
        return torch.cat(features[2:], 1)


class SuperNet(nn.Module):
    """Start, layers of width levels with routers and cells (shared, Eq. 5), end; the residual of a grey picture."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space, start, end = space, space.start_width, space.end_width
        self.alpha = nn.Parameter(torch.zeros(space.layers, space.edges, 7))
        self.beta = nn.Parameter(torch.zeros(space.layers, len(space.widths), len(MOVES)))
        self.start = nn.Sequential(
            nn.Conv2d(1, start, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(start, start, 3, padding=1)
        )
        self.routers, self.skip_routers, self.cells = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        outputs = [{0: start}, {0: start}]
        for layer in range(space.layers):
            for level in space.levels(layer):
                width, before = space.widths[level], outputs[-2]
                self.skip_routers[f"{layer}_{level}"] = router(before[min(level, max(before))], width)
                for source in space.incoming(layer, level):
                    self.routers[f"{layer}_{level}_{source}"] = router(outputs[-1][source], width)
                self.cells[f"{layer}_{level}"] = Cell(space.nodes, width)
            outputs.append({level: space.nodes * space.widths[level] for level in space.levels(layer)})
        last = sum(outputs[-1].values())
        self.end = nn.Sequential(nn.Conv2d(last, end, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(end, 1, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        space, alpha = self.space, self.alpha.softmax(-1)
        before = last = {0: self.start(x)}
        for layer in range(space.layers):
            outputs = {}
            for level in space.levels(layer):
                h2 = self.skip_routers[f"{layer}_{level}"](before[min(level, max(before))])
                h1 = sum(
                    self._move(layer, source, level) * self.routers[f"{layer}_{level}_{source}"](last[source])
                    for source in space.incoming(layer, level)
                )
                outputs[level] = self.cells[f"{layer}_{level}"](h1, h2, alpha[layer])
            before, last = last, outputs
        return self.end(torch.cat([last[level] for level in sorted(last)], 1))

    def _move(self, layer: int, source: int, level: int) -> Tensor:
        """beta_k^i: the probability of this move among those that lead from ``source``."""
        targets = self.space.outgoing(layer, source)
        logits = torch.stack([self.beta[layer, source, MOVES.index(target - source)] for target in targets])
        return logits.softmax(0)[targets.index(level)]

    def weights(self) -> list[nn.Parameter]:
        """All parameters but alpha and beta."""
        return [parameter for name, parameter in self.named_parameters() if name not in ("alpha", "beta")]


def router(channels: int, width: int) -> nn.Sequential:
    """1x1 convolution and batch normalisation."""
    return nn.Sequential(nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width, affine=False))


def carry(net: SuperNet, params: Tree, arch: Tree) -> None:
    """Take over ``params`` of a plain supernet of ours, and its alpha and beta."""

    def put(layer: nn.Module, kernel: Any, bias: Any = None) -> None:
        assert isinstance(layer, nn.Conv2d)
        layer.weight.copy_(torch.from_numpy(np.array(kernel).transpose(3, 2, 0, 1)))
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(torch.from_numpy(np.array(bias)))

    with torch.no_grad():
        net.alpha.copy_(torch.from_numpy(np.array(arch["alpha"])))
        net.beta.copy_(torch.from_numpy(np.array(arch["beta"])))
        for part, names in ((net.start, ("conv_0", "conv_1")), (net.end, ("conv_0", "residual"))):
            tree = params["start" if part is net.start else "end"]
            for layer, name in zip((part[0], part[2]), names, strict=True):
                put(layer, tree[name]["kernel"], tree[name]["bias"])
        for name, part in net.skip_routers.items():
            put(part[0], params[f"skip_router_{name}"]["conv"]["kernel"])
        for name, part in net.routers.items():
            layer, level, source = name.split("_")
            put(part[0], params[f"router_{layer}_{level}_from_{source}"]["conv"]["kernel"])
        for name, cell in net.cells.items():
            pairs = [(node, source) for node in range(cell.nodes) for source in range(node + 2)]
            for (node, source), edge in zip(pairs, cell.edges, strict=True):
                operations = params[f"cell_{name}"][f"source_{source}_node_{node}"]
                for kind in ("conv3", "dil3", "dil5"):
                    put(getattr(edge, kind)[1], operations[kind]["kernel_0"][0])
                for kind in ("sep3", "sep5"):
                    for turn in range(2):
                        put(getattr(edge, kind)[4 * turn + 1], operations[kind][f"depthwise_{turn}"][0])
                        put(getattr(edge, kind)[4 * turn + 2], operations[kind][f"pointwise_{turn}"][0])


def restoration_loss(restored: Tensor, clean: Tensor, ssim_weight: float) -> Tensor:
    """Eq. 7 of grey pictures: mean squared error and the weighted log10 of 1 / SSIM."""
    return functional.mse_loss(restored, clean) - ssim_weight * ssim(restored, clean).log10().mean()


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """SSIM of each grey picture: 11x11 Gaussian window of sigma 1.5, valid positions."""
    window = torch.exp(-((torch.arange(11, dtype=one.dtype, device=one.device) - 5) ** 2) / (2 * 1.5**2))
    window = window / window.sum()

    def blur(x: Tensor) -> Tensor:
        return functional.conv2d(functional.conv2d(x, window[None, None, :, None]), window[None, None, None, :])

    mean_1, mean_2 = blur(one), blur(other)
    var_1, var_2 = blur(one * one) - mean_1**2, blur(other * other) - mean_2**2
    covariance = blur(one * other) - mean_1 * mean_2
    top = (2 * mean_1 * mean_2 + 0.01**2) * (2 * covariance + 0.03**2)
    return (top / ((mean_1**2 + mean_2**2 + 0.01**2) * (var_1 + var_2 + 0.03**2))).mean((1, 2, 3))


def weight_step(net: SuperNet, optimiser: torch.optim.Optimizer, clip: float) -> Callable[[Tensor, Tensor], Tensor]:
    """One update of the kernels, with the gradient's norm clipped; returns the loss."""
    weights = net.weights()

    def step(degraded: Tensor, clean: Tensor) -> Tensor:
        loss = restoration_loss(degraded + net(degraded), clean, 0.6)
        for parameter, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(weights, clip)
        optimiser.step()
        return loss.detach()

    return step


def arch_step(net: SuperNet, optimiser: torch.optim.Optimizer) -> Callable[[Tensor, Tensor], Tensor]:
    """One update of alpha and beta; no gradient of a kernel is computed."""

    def step(degraded: Tensor, clean: Tensor) -> Tensor:
        loss = restoration_loss(degraded + net(degraded), clean, 0.6)
        net.alpha.grad, net.beta.grad = torch.autograd.grad(loss, [net.alpha, net.beta])
        optimiser.step()
        return loss.detach()

    return step


def dncnn() -> nn.Module:
    """DnCNN (Zhang et al. 2017): 17 layers of 64 channels, as run after training: normalisation folded away."""
    inner = [layer for _ in range(15) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())]
    return nn.Sequential(nn.Conv2d(1, 64, 3, padding=1), nn.ReLU(), *inner, nn.Conv2d(64, 1, 3, padding=1)).eval()


class FFDNet(nn.Module):
    """FFDNet for grey pictures (Zhang et al. 2018): 15 layers of 64 channels on the picture folded 2x2, 0.49 M."""

    def __init__(self) -> None:
        super().__init__()
        inner = [layer for _ in range(13) for layer in (nn.Conv2d(64, 64, 3, padding=1), nn.ReLU())]
        self.layers = nn.Sequential(nn.Conv2d(5, 64, 3, padding=1), nn.ReLU(), *inner, nn.Conv2d(64, 4, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        folded = functional.pixel_unshuffle(x, 2)
        level = torch.full_like(folded[:, :1], 50 / 255)
        return functional.pixel_shuffle(self.layers(torch.cat([folded, level], 1)), 2)
