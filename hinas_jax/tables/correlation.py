"""Does the supernet know which architectures are good? Its one-hot score on V against the trained network's.

One search; then architectures drawn at random from its space, and the one it found. Each is scored twice on the same
validation pictures: inside the best supernet, with one-hot alpha and beta, and as a network trained by itself.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from hinas_jax.architecture import Architecture
from hinas_jax.compiling import compiler_options
from hinas_jax.config import Config, load_config
from hinas_jax.config_forms import ConfigError
from hinas_jax.data.patches import draw_patches, sample, to_device
from hinas_jax.data.sources import large_enough, split
from hinas_jax.divergence import DivergenceError
from hinas_jax.ink import BLUE, GREY, INK, ORANGE, STYLE, save_figure
from hinas_jax.mesh import make_mesh
from hinas_jax.modelfile import Model
from hinas_jax.objective import f_net
from hinas_jax.random_search import draw
from hinas_jax.run_files import V_PROTOCOL
from hinas_jax.runs import environment
from hinas_jax.saying import Say
from hinas_jax.searcher import supernet_of
from hinas_jax.space.normalisation import MOMENTUM
from hinas_jax.space.one_hot import one_hot
from hinas_jax.tables.budget import Budget, changes
from hinas_jax.tables.definition import with_fields
from hinas_jax.tables.figures import plain_axes
from hinas_jax.tables.pictures import Roots, training_pictures
from hinas_jax.tables.store import Store
from hinas_jax.tasks import crop_side, degrade_crops
from hinas_jax.training import best_supernet
from hinas_jax.validation import Score, Validation
from hinas_jax.writing import write_whole

STATISTICS_BATCHES: Final = 32  #: of W, for the running statistics of one architecture
_SEEN: Final = 1 - MOMENTUM**STATISTICS_BATCHES  #: their weight in a moving average that starts at zero
LEAST: Final = 4  #: architectures for a coefficient
FEW: Final = 30  #: architectures below which the note warns
_NO_COEFFICIENT: Final = f"no coefficient: fewer than {LEAST} have both scores"


@dataclasses.dataclass(frozen=True)
class Point:
    """One architecture: its one-hot score in the supernet and its score after training, both on V."""

    name: str
    seed: int
    parameters: int
    """Of the network as it is trained."""
    supernet: Score
    trained: Score | None
    """None: the training diverged."""


@dataclasses.dataclass(frozen=True)
class Correlation:
    """How far two orders agree: 1 the same, 0 unrelated, -1 the reverse."""

    spearman: float
    spearman_p: float
    """Probability of so large a value, in size, if the orders were unrelated."""
    kendall: float
    kendall_p: float
    count: int


def correlate(one: Sequence[float], other: Sequence[float]) -> Correlation:
    """Rank correlation of two scores of the same architectures, with two-sided p-values.

    Spearman's p-value is from random permutations (seeded), which small numbers need; Kendall's is scipy's own.

    Raises:
        ValueError: fewer than LEAST architectures.
    """
    if len(one) < LEAST:
        raise ValueError(f"a correlation needs {LEAST} architectures or more, not {len(one)}")
    from scipy import stats  # noqa: PLC0415  heavy, and only this needs it

    rho = float(stats.spearmanr(one, other).statistic)
    tau = stats.kendalltau(one, other)
    permuted = stats.permutation_test(
        (one,),
        lambda x: stats.spearmanr(x, other).statistic,
        permutation_type="pairings",
        n_resamples=5000,
        rng=np.random.default_rng(0),
    )
    return Correlation(rho, float(permuted.pvalue), float(tau.statistic), float(tau.pvalue), len(one))


def one_hot_scores(
    config: Config, supernet: dict[str, Any], architectures: Sequence[Architecture], say: Say = print
) -> list[Score]:
    """Scores on V of architectures inside a supernet, by one-hot alpha and beta.

    The running statistics of the supernet are those of the mixture of all operations, which one architecture alone
    does not have; they are estimated anew for each, on patches of W, and nothing of the mixture's remains: the moving
    average starts at zero and is divided by the weight of the batches that it has seen. The kernels stay.

    Args:
        config: of the search.
        supernet: {"params", "arch", "batch_stats"}.
        architectures: of its space.
        say: where lines for people go.
    """
    task, settings = config.task.build(), config.search
    side = crop_side(task, settings.patch)
    pictures = large_enough(training_pictures(config), side, "the search", say)
    w, _, v = split(pictures, config.seed, config.data.validation_fraction)  # those of the search
    net = supernet_of(config)
    validation = Validation(v, task, seed=config.seed, tile=settings.patch, batch=settings.batch_size)
    source = to_device(w)

    @functools.partial(jax.jit, compiler_options=compiler_options())
    def estimate(variables: dict[str, Any], key: jax.Array) -> Any:
        choose, crop, degrade = jax.random.split(key, 3)
        indices = jax.random.randint(choose, (settings.batch_size,), 0, source.sizes.count)
        draws = draw_patches(crop, indices, source.sizes, side)
        degraded, _ = degrade_crops(task, degrade, sample(source, jnp.int32(0), draws, side))
        _, moved = net.apply(variables, degraded, train=True, mutable=["batch_stats"])
        return moved["batch_stats"]

    restore = validation.compile(
        lambda variables, tiles: f_net(net, task, variables, tiles), supernet, make_mesh(1), say
    )
    scores = []
    for architecture in architectures:
        empty = jax.tree.map(jnp.zeros_like, supernet["batch_stats"])
        variables = supernet | {"arch": one_hot(architecture, config.space), "batch_stats": empty}
        for key in jax.random.split(jax.random.key(config.seed), STATISTICS_BATCHES):
            variables = variables | {"batch_stats": estimate(variables, key)}
        variables = variables | {"batch_stats": jax.tree.map(lambda x: x / _SEEN, variables["batch_stats"])}
        scores.append(validation.score(restore, variables))
    return scores


def make_correlation(
    workdir: Path,
    *,
    budget: Budget,
    count: int,
    seeds: int,
    roots: Roots,
    base: Config | None = None,
    say: Say = print,
) -> Path:
    """Run what is missing, and write correlation.md, .csv, .json and .png into ``workdir``.

    Args:
        workdir: the folder of all tables.
        budget: the part of the paper's schedule.
        count: architectures drawn for each seed.
        seeds: how often everything is repeated, each with a supernet of its own.
        roots: the pictures.
        base: the experiment; the config denoise_bsd500 by default.
        say: where lines for people go.

    Returns:
        The Markdown file.

    A search or a training that diverges ends nothing: it is told where its score would stand, and a coefficient is of
    the architectures that have both scores, if these are LEAST or more.

    Raises:
        ConfigError: options do not fit.
        PictureError: pictures cannot be used.
    """
    if count + 1 < LEAST or seeds < 1:
        raise ConfigError(f"a correlation needs --count {LEAST - 1} or more and --seeds 1 or more")
    started = time.monotonic()
    full = roots.apply(base or load_config("denoise_bsd500"), budget)
    shrunk = budget.apply(full)
    store = Store(workdir / "runs", say)
    points: list[Point] = []
    results: dict[int, Correlation | None] = {}
    for seed in range(shrunk.seed, shrunk.seed + seeds):
        own = _points(with_fields(shrunk, {"seed": seed}), count, store, say)
        pairs = [(p.supernet.value, p.trained.value) for p in own if p.trained]
        results[seed] = correlate(*zip(*pairs, strict=True)) if len(pairs) >= LEAST else None
        points += own
    _plot(points, results, budget, workdir / "correlation.png")
    _write_csv(points, workdir / "correlation.csv")
    manifest = {
        **environment(),
        "budget": budget.fraction,
        "seeds": seeds,
        "count": count,
        "protocol": V_PROTOCOL,
        "shrunk": changes(full, shrunk),
        "training": training_pictures(shrunk).digest(),
        "correlations": {str(seed): r and dataclasses.asdict(r) for seed, r in results.items()},
        "seconds": round(time.monotonic() - started, 1),
        "runs": {folder: run.seconds for folder, run in store.used.items()},
    }
    write_whole(workdir / "correlation.json", json.dumps(manifest, indent=2) + "\n")
    path = workdir / "correlation.md"
    write_whole(path, _markdown(points, results, budget, shrunk, changes(full, shrunk)))
    return path


def _points(config: Config, count: int, store: Store, say: Say) -> list[Point]:
    """The seed's architectures, first the searched one; none where the search diverged."""
    try:
        run = store.search(config)
    except DivergenceError as error:
        say(str(error))
        return []
    found = run.architecture
    architectures = [found, *(draw(config, number) for number in range(count))]
    supernet = best_supernet(run.folder, config, found)
    scores = one_hot_scores(config, supernet, architectures, say)
    points = []
    for number, (architecture, score) in enumerate(zip(architectures, scores, strict=True)):
        trained = None
        try:
            card = Model.load(store.train(config, architecture).model).card["validation"]
            trained = Score(card["psnr"], card["ssim"])
        except DivergenceError as error:
            say(str(error))
        name = "searched" if number == 0 else f"drawn {number}"
        parameters = architecture.scaled(config.train.width_scale).parameters()
        points.append(Point(name, config.seed, parameters, score, trained))
    return points


def _plot(points: Sequence[Point], results: dict[int, Correlation | None], budget: Budget, path: Path) -> None:
    with mpl.rc_context(STYLE):
        layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.1)
        figure = Figure(figsize=(4.6 * len(results), 4.2), layout=layout)
        grid = figure.subplots(1, len(results), squeeze=False)
        for axes, (seed, result) in zip(grid.flat, results.items(), strict=True):
            plain_axes(axes)
            axes.margins(0.12)
            both = [(point, point.trained) for point in points if point.seed == seed and point.trained]
            for point, trained in both:
                searched = point.name == "searched"
                x, y = point.supernet.psnr, trained.psnr
                axes.plot(x, y, "D" if searched else "o", color=ORANGE if searched else BLUE, ms=6, zorder=3)
                if searched:
                    axes.annotate("searched", (x, y), xytext=(7, 5), textcoords="offset points", size=8, color=ORANGE)
            about = _NO_COEFFICIENT
            if result:
                about = f"Spearman {result.spearman:+.2f} (p {result.spearman_p:.2f}), Kendall {result.kendall:+.2f}"
            axes.set_title(f"Seed {seed}, budget {budget.fraction:g}, {len(both)} architectures\n",
                           size=10, weight="bold", color=INK, loc="left")  # fmt: skip
            axes.text(0, 1.02, about, transform=axes.transAxes, size=8.5, color=GREY)
            axes.set_xlabel(f"in the supernet, one-hot: PSNR on V (dB)\n{V_PROTOCOL}", color=GREY, size=9)
            axes.set_ylabel(f"trained: PSNR on V (dB)\n{V_PROTOCOL}", color=GREY, size=9)
        save_figure(figure, path)


def _write_csv(points: Sequence[Point], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        scores = ["supernet_psnr", "supernet_ssim", "psnr", "ssim"]
        writer.writerow(["seed", "architecture", "parameters", *scores, "protocol"])
        for p in points:
            trained = (p.trained.psnr, p.trained.ssim) if p.trained else ("", "")
            writer.writerow([p.seed, p.name, p.parameters, p.supernet.psnr, p.supernet.ssim, *trained, V_PROTOCOL])


def _markdown(
    points: Sequence[Point],
    results: dict[int, Correlation | None],
    budget: Budget,
    config: Config,
    shrunk: Sequence[str],
) -> str:
    lines = ["# One-hot scores of a supernet against trained networks", ""]
    lines += ["| Seed | Architectures | Spearman | p | Kendall | p |", "|" + " --- |" * 6]
    for seed, r in results.items():
        own = [p for p in points if p.seed == seed]
        lost = sum(p.trained is None for p in own)
        count = f"{len(own) - lost}" + (f" ({lost} more diverged)" if lost else "") if own else "the search diverged"
        tests = "- | - | - | -"
        if r:
            tests = f"{r.spearman:+.2f} | {r.spearman_p:.3f} | {r.kendall:+.2f} | {r.kendall_p:.3f}"
        lines.append(f"| {seed} | {count} | {tests} |")
    lines += ["", "| Seed | Architecture | Parameters | In the supernet (dB / SSIM) | Trained (dB / SSIM) |"]
    lines += ["|" + " --- |" * 5]
    for p in points:
        inside, after = (
            f"{score.psnr:.2f} / {score.ssim:.4f}" if score else "diverged" for score in (p.supernet, p.trained)
        )
        lines.append(f"| {p.seed} | {p.name} | {p.parameters:,} | {inside} | {after} |")
    lines += [
        "",
        f"Protocol: {V_PROTOCOL}, not to be compared with rows of another. Both scores are means over the same"
        " validation pictures V with the same noise; ranked by SSIM + PSNR / 100."
        f" Trained for {config.train.steps:,} steps on {config.data.root.rsplit('/', 1)[-1]}, budget"
        f" {budget.fraction:g} of the paper's schedule. Inside the supernet the running statistics are estimated anew"
        f" on {STATISTICS_BATCHES} batches of W, nothing of the mixture's being kept. p: how often unrelated orders"
        " agree, or disagree, as much.",
    ]
    if any(p.trained is None for p in points):
        lines[-1] += " What diverged in training is in no coefficient: it has no score after it."
    if any(r is None or r.count < FEW for r in results.values()):
        lines[-1] += (
            " So few architectures tell strong relations from none, and no more: give --count 30 or more, and several"
            " --seeds, before believing a coefficient."
        )
    lines += ["", *(f"- {change}" for change in shrunk), "", "![correlation](correlation.png)"]
    return "\n".join(lines) + "\n"
