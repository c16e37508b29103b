"""Restorations side by side: the paper's picture, the right pixels in the right panel, the scores of ``evaluate``."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter
from test_restoring import model_of
from tiny import random_variables

from hinas_jax.config import TaskConfig
from hinas_jax.data.bicubic import upsample
from hinas_jax.evaluation import evaluate
from hinas_jax.modelfile import Model
from hinas_jax.restoring import Restorer
from hinas_jax.space.network import Network
from hinas_jax.tables.budget import Budget
from hinas_jax.tables.definition import NUMBERS, RANDOM, Shown, Table, Variant, load_table
from hinas_jax.tables.networks import Trained
from hinas_jax.tables.pictures import TestSet, find_shown
from hinas_jax.tables.side_by_side import SIDE, ZOOM, draw_restorations, make_panels, most_detailed
from hinas_jax.tables.store import Run
from hinas_jax.tasks import Denoise, SuperResolve

pytestmark = pytest.mark.usefixtures("quick_compiling")

HEIGHT, WIDTH = 80, 110


def photograph(channels=1, seed=0):
    """A smooth picture, 8 bits, with most detail at the lower right."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.random((HEIGHT, WIDTH, channels)), (3, 3, 0))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    smooth[60:, 80:] = (smooth[60:, 80:] + rng.random((20, 30, channels))) / 2
    return (255 * smooth).astype(np.uint8)


def write_set(folder, channels=1, names=("100", "img_015_SRF_2", "200")):
    """A set of pictures, and their pixels by name."""
    folder.mkdir(parents=True)
    pixels = {name: photograph(channels, seed) for seed, name in enumerate(names)}
    for name, picture in pixels.items():
        Image.fromarray(picture.squeeze()).save(folder / f"{name}.png")
    return pixels


def set_of(folder, name="test", pictures=3):
    return TestSet(name, None, folder, pictures, 3, "")


@pytest.fixture
def nets(tiny_config, tmp_path):
    """Two networks of a scale, of other weights: what was searched (twice, by two seeds) and what was drawn."""

    def make(scale, sigma=50.0):
        made = []
        for seed, (variant, number) in enumerate([(Variant("HiNAS"), 0), (Variant("HiNAS"), 1), (RANDOM, 0)]):
            model = model_of(3 if scale > 1 else 1, scale)
            example = np.zeros((1, 8, 8, model.architecture.channels), np.float32)
            other = random_variables(Network(model.architecture), example, train=False, seed=seed)
            residual = other["params"]["end"]["residual"]
            other["params"]["end"] = other["params"]["end"] | {
                "residual": {"kernel": residual["kernel"] * 0.05, "bias": residual["bias"] * 0}
            }
            folder = tmp_path / f"run_{scale}_{sigma:g}_{seed}"
            folder.mkdir()
            Model(model.architecture, other, model.card).save(folder / "model.safetensors")
            task = TaskConfig("super_resolve", scale=scale, channels=3) if scale > 1 else TaskConfig(sigmas=(sigma,))
            config = dataclasses.replace(tiny_config, task=task, seed=5 + number)
            architecture = model.architecture
            made.append(Trained(variant, config, architecture, architecture, Run(folder, 1.0, {}), None))
        return made

    return make


def test_the_square_has_the_most_detail_by_brute_force():
    for seed in range(5):
        pixels = np.random.default_rng(seed).integers(0, 256, (13, 17, 3), np.uint8)
        grey = pixels.astype(int).sum(axis=-1)

        def detail(y, x, grey=grey):  # of each pixel, against those before it
            left = abs(grey[y, x] - grey[y, x - 1]) if x else 0
            return left + (abs(grey[y, x] - grey[y - 1, x]) if y else 0)

        sums = {
            (y, x): sum(detail(y + i, x + j) for i in range(4) for j in range(4))
            for y in range(0, 10, 2)
            for x in range(0, 14, 2)
        }
        assert most_detailed(pixels, 4, 2) == max(sums, key=sums.get)
    assert most_detailed(np.zeros((9, 9, 1), np.uint8), 4, 2) == (0, 0)
    assert most_detailed(photograph(), 20, 1)[0] >= 55


@pytest.mark.parametrize("scale", [1, 2])
def test_every_panel_shows_what_its_name_says(nets, tmp_path, scale):
    channels = 3 if scale > 1 else 1
    pixels = write_set(tmp_path / "set", channels)["200"]
    searched, _, drawn = nets(scale)
    task = SuperResolve(scale=scale, channels=3) if scale > 1 else Denoise((50.0,))
    panels, (y, x) = make_panels([searched, drawn], task, pixels, 2)
    assert (y, x) == most_detailed(pixels, SIDE, scale)

    key = jax.random.fold_in(jax.random.key(0), 2)
    degraded, clean = (np.asarray(picture) for picture in task.pair(key, pixels.astype(np.float32) / 255))
    whole = [Restorer(Model.load(net.run.model))(degraded) for net in (searched, drawn)]
    names = ["noisy picture", "HiNAS", "drawn at random", "clean"]
    whole = [degraded, *whole, clean]
    if scale > 1:
        names = ["given, 1/2 as wide", "bicubic", *names[1:]]
        whole = [degraded.repeat(2, 0).repeat(2, 1), np.asarray(upsample(degraded, 2)), *whole[1:]]
    assert [panel.name for panel in panels] == names
    for panel, picture in zip(panels, whole, strict=True):
        expected = 255 * np.clip(picture[y : y + SIDE, x : x + SIDE], 0, 1)
        np.testing.assert_allclose(panel.pixels, expected, atol=0.51)
    np.testing.assert_array_equal(panels[-1].pixels, pixels[y : y + SIDE, x : x + SIDE])


@pytest.mark.parametrize("scale", [1, 2])
def test_a_panel_tells_what_evaluate_measures(nets, tmp_path, scale):
    """Of a set of one picture the row's score is the panel's; of several it is their mean."""
    pixels = write_set(tmp_path / "set", 3 if scale > 1 else 1)
    net = nets(scale)[0]
    task = SuperResolve(scale=scale, channels=3) if scale > 1 else Denoise((50.0,))
    psnrs = {"none": [], "net": []}
    for number, name in enumerate(sorted(pixels)):
        panels, _ = make_panels([net], task, pixels[name], number)
        panels = panels[-3:]
        assert panels[-1].about == ""
        for kind, panel in zip(psnrs, panels[:-1], strict=True):
            psnrs[kind].append(float(panel.about.split()[0]))
    baseline = "bicubic" if scale > 1 else "identity"
    level = {"scale": scale} if scale > 1 else {"sigma": 50.0}
    level |= {"channels": task.channels}
    for kind, model, asked in (("none", baseline, level), ("net", str(net.run.model), {})):
        first = evaluate(model, images=tmp_path / "set", first=1, say=lambda _: None, **asked).results[0]
        assert psnrs[kind][0] == pytest.approx(first.psnr, abs=0.00501)
        of_all = evaluate(model, images=tmp_path / "set", say=lambda _: None, **asked).results[0]
        assert np.mean(psnrs[kind]) == pytest.approx(of_all.psnr, abs=0.00501)


def places(page, panel):
    """Where on a page, as [y, x] of the upper left pixel, a panel stands magnified by the nearest neighbour."""
    block = np.broadcast_to(panel, (*panel.shape[:2], 3)).repeat(ZOOM, 0).repeat(ZOOM, 1)
    high, wide = block.shape[:2]
    corners = (page[: 1 - high, : 1 - wide] == block[0, 0]) & (page[high - 1 :, wide - 1 :] == block[-1, -1])
    return [
        (y, x)
        for y, x in np.argwhere(corners.all(axis=-1)).tolist()
        if np.array_equal(page[y : y + high, x : x + wide], block)
    ]


def test_the_page_shows_every_panel_once_in_reading_order(nets, tmp_path):
    pixels = write_set(tmp_path / "set", 3)
    table = Table(12, "", (), (Variant("HiNAS"), RANDOM), sets=("B100",), shown=(Shown("15", "B100", scale=2),))
    made, tests = nets(2), (set_of(tmp_path / "set", "B100"),)
    paths = draw_restorations(table, made, {2: tests}, Budget(0.5), tmp_path)
    assert [path.name for path in paths] == ["table_12_restored_0.png"]
    with Image.open(paths[0]) as image:
        page = np.asarray(image.convert("RGB"))
    number = sorted(pixels).index("img_015_SRF_2")
    panels, _ = make_panels([made[0], made[2]], SuperResolve(scale=2, channels=3), pixels["img_015_SRF_2"], number)
    found = [places(page, panel.pixels) for panel in panels]
    assert [len(corners) for corners in found] == [1] * 5
    order = [corners[0] for corners in found]
    assert order == sorted(order)


def test_the_papers_picture_is_shown_or_else_the_first_of_the_first_set(tmp_path):
    for name in ("Set5", "Urban100"):
        write_set(tmp_path / name)
    sets = [set_of(tmp_path / name, name, pictures=1) for name in ("Set5", "Urban100")]
    for shown, name, number in (
        (Shown("015", "Urban100", scale=4), "Urban100", 2),  # not among the measured ones, which is no matter
        (Shown("200", "Set5", scale=4), "Set5", 1),
        (Shown("15", "B100", scale=4), "Set5", 0),  # the number, but of another set
        (Shown("2", "Set5", scale=4), "Set5", 0),  # not the whole number
        (Shown("200", sigma=50.0), "Set5", 1),
    ):
        test, place, picture = find_shown(shown, sets, 1)
        assert (test.name, place, len(picture)) == (name, number, 1)


def test_a_picture_that_is_missing_twice_is_drawn_once_and_what_diverged_not_at_all(nets, tmp_path):
    write_set(tmp_path / "set")
    shown = (Shown("1", sigma=50.0), Shown("2", sigma=50.0), Shown("1", sigma=70.0))
    table = Table(1, "", (), (), sigmas=(50.0, 70.0), shown=shown)
    sets = {1: (set_of(tmp_path / "set"),)}
    assert len(draw_restorations(table, nets(1), sets, Budget(0.5), tmp_path)) == 1
    assert draw_restorations(table, [], sets, Budget(0.5), tmp_path) == []
    assert draw_restorations(dataclasses.replace(table, shown=()), nets(1, 70.0), sets, Budget(0.5), tmp_path) == []


@pytest.mark.parametrize("number", NUMBERS)
def test_what_the_paper_shows_is_of_the_tables_strengths_and_sets(number):
    table = load_table(number)
    assert bool(table.shown) == (number in (1, 2, 4, 5, 10, 12))
    scales = {base.task.scale for base in table.bases}
    for shown in table.shown:
        assert shown.scale in scales
        assert shown.sigma in (table.sigmas or (None,))
        assert shown.set in (table.sets or ("",))
