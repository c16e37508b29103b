"""Drawings: what stands in them, that nothing covers anything, and that they repeat."""

import itertools
import random
import re
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tiny import KEPT

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.drawing import draw_architecture
from hinas_jax.ink import save_figure

LABELS = {name: re.sub("([35])", r" \1x\1", name) for name in KEPT}


def random_cell(nodes, generator):
    sources = (generator.sample(range(i + 2), 2) for i in range(nodes))
    return CellArchitecture(tuple(tuple(Edge(s, generator.choice(KEPT)) for s in pair) for pair in sources))


def random_architecture(layers, nodes, seed=0, **fields):
    generator = random.Random(seed)
    cells = tuple(random_cell(nodes, generator) for _ in range(layers))
    levels = tuple(itertools.islice(itertools.cycle((0, 1, 2, 1)), layers))
    return Architecture(cells, **{"levels": levels, "base_width": 20, "width_factors": (1, 2, 4), **fields})


@pytest.fixture
def denoise():
    return random_architecture(3, 4)


@pytest.fixture
def super_resolve():
    return random_architecture(2, 3, levels=(1, 2), task="super_resolve", channels=3, scale=2)


def texts(architecture, folder, **options):
    """The words of a drawing, each with its place in points; formulas are left out."""
    path = folder / "drawing.svg"
    draw_architecture(architecture, path, **options)
    found = []
    for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text"):
        if element.text and element.text.strip():
            number = r"(-?[\d.]+)"
            place = re.search(rf"translate\({number} {number}\)", element.get("transform", ""))
            x, y = place.groups() if place else (element.get("x"), element.get("y"))
            found.append((element.text.strip(), float(x), float(y)))
    return found


def words(architecture, folder, **options):
    return Counter(text for text, _, _ in texts(architecture, folder, **options))


@pytest.mark.parametrize(("layers", "nodes"), [(1, 1), (1, 2), (3, 4), (6, 5)])
def test_every_edge_has_its_operations_label(layers, nodes, tmp_path):
    architecture = random_architecture(layers, nodes, seed=nodes)
    expected = Counter(LABELS[name] for cell in architecture.cells for name in cell.operations())
    found = words(architecture, tmp_path)
    assert {label: found[label] for label in LABELS.values()} == {label: expected[label] for label in LABELS.values()}


def test_network_shows_widths_layers_and_parameters(denoise, tmp_path):
    found = words(denoise, tmp_path)
    assert [found[f"width {width}"] for width in (20, 40, 80)] == [1, 1, 1]
    assert [found[f"4 x {width}"] for width in denoise.widths] == [1, 1, 1]
    assert found[f"Denoise network: {denoise.parameters():,} parameters"] == 1
    assert found["copy"] == 1
    assert not any("shuffle" in word or "bicubic" in word for word in found)


def test_layers_stand_at_their_levels(denoise, tmp_path):
    places = {text: y for text, _, y in texts(denoise, tmp_path)}
    rows = [places[f"4 x {width}"] - places[f"level {level}"] for level, width in enumerate(denoise.widths)]
    assert np.ptp(rows) < 1  # the same row as the label, level by level
    assert places["level 0"] < places["level 1"] < places["level 2"]


@pytest.mark.parametrize(("factors", "cells"), [((1, 2), 2 + 2 + 2), ((1, 2, 4), 2 + 3 + 3), ((1, 2, 3, 4), 2 + 3 + 4)])
def test_every_cell_of_the_search_space_is_drawn_once(factors, cells, tmp_path):
    path = tmp_path / "drawing.svg"
    draw_architecture(random_architecture(3, 2, levels=(0, 1, 1), width_factors=factors), path)
    shapes = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}path")
    faint = [shape for shape in shapes if "fill: #ffffff; stroke: #d5dbe1" in shape.get("style", "")]
    assert len(faint) == cells


def test_super_resolution_shows_shuffle_and_bicubic(super_resolve, tmp_path):
    found = words(super_resolve, tmp_path)
    assert found["pixel shuffle"] == found["x2"] == found["bicubic x2"] == 1
    assert found["copy"] == 0


@pytest.mark.parametrize("scale", [1, 4])
def test_no_skip_connection_without_residual(scale, tmp_path):
    task = "denoise" if scale == 1 else "super_resolve"
    found = words(random_architecture(2, 3, residual=False, task=task, scale=scale), tmp_path)
    assert not found.keys() & {"copy", "bicubic x4", "+"}
    assert found["pixel shuffle"] == (scale > 1)


@pytest.mark.parametrize("layers", [1, 3])
def test_inputs_name_where_they_come_from(layers, tmp_path):
    found = words(random_architecture(layers, 2), tmp_path)
    # the start gives both inputs of layer 0 and one of layer 1; the chain names start and layers once more
    assert found["start"] == 1 + min(2 * layers, 3)
    assert found["layer 0"] == 1 + max(0, min(layers - 1, 2))


@pytest.mark.parametrize("used", [(0, 1), (0,), (1,)])
def test_unused_input_is_faint(used, tmp_path):
    cell = CellArchitecture((tuple(Edge(source, "conv3") for source in used),))
    draw_architecture(Architecture((cell,), (0,), 8, (1, 2)), tmp_path / "cell.svg")
    names = r"<!-- \$h_\{l-([12])\}\$ -->\s*<g style=\"fill: (#\w+)"
    colours = dict(re.findall(names, (tmp_path / "cell.svg").read_text()))
    assert {source: colours[str(source + 1)] == "#1f2933" for source in (0, 1)} == {
        source: source in used for source in (0, 1)
    }


@pytest.mark.parametrize("nodes", [2, 3, 4, 5])
def test_labels_never_overlap(nodes, tmp_path):
    """Over many random cells, no two labels of operations come nearer than the box around them."""
    for seed in range(3):
        architecture = random_architecture(3, nodes, seed)
        labels = [item for item in texts(architecture, tmp_path) if item[0] in LABELS.values()]
        for (a, x, y), (b, u, v) in itertools.combinations(labels, 2):
            assert abs(x - u) > 54 or abs(y - v) > 20, (seed, a, b)


def test_all_words_lie_on_the_page(super_resolve, tmp_path):
    placed = texts(super_resolve, tmp_path, title="A title of a good many words, such as a path of some depth has")
    root = ElementTree.parse(tmp_path / "drawing.svg").getroot()
    _, _, width, height = map(float, root.get("viewBox").split())
    assert all(0 < x < width and 0 < y < height for _, x, y in placed)


@pytest.mark.parametrize("name", ["a.svg", "a.png"])
def test_same_architecture_same_bytes(name, denoise, tmp_path):
    path = tmp_path / name
    draw_architecture(denoise, path)
    first = path.read_bytes()
    draw_architecture(Architecture.from_json(denoise.to_json()), path)
    assert path.read_bytes() == first
    draw_architecture(random_architecture(3, 4, seed=1), path)
    assert path.read_bytes() != first


def test_callers_settings_are_left_alone(denoise, tmp_path):
    import matplotlib as mpl

    draw_architecture(denoise, tmp_path / "a.svg")
    first = (tmp_path / "a.svg").read_bytes()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": None, "font.family": "serif"}):
        draw_architecture(denoise, tmp_path / "a.svg")
        assert mpl.rcParams["svg.fonttype"] == "path"
    assert (tmp_path / "a.svg").read_bytes() == first


def test_png_opens_on_white_and_is_not_blank(denoise, tmp_path):
    draw_architecture(denoise, tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    frame = np.concatenate([pixels[:20].reshape(-1, 3), pixels[-20:].reshape(-1, 3)])
    assert (frame == 255).all()  # white, and nothing runs over the edge
    assert (pixels[:, :20] == 255).all()
    assert (pixels[:, -20:] == 255).all()
    assert 0.01 < (pixels < 128).any(-1).mean() < 0.5


def test_title_is_plain_words(denoise, tmp_path):
    found = words(denoise, tmp_path, title="$x$ <b> & run_1")
    assert found[f"$x$ <b> & run_1: {denoise.parameters():,} parameters"] == 1


@pytest.mark.parametrize("name", ["drawing.txt", "drawing", "drawing.svg.gz"])
def test_other_suffixes_are_refused(name, denoise, tmp_path):
    with pytest.raises(ValueError, match=rf"{re.escape(name)}: a drawing ends in \.svg or \.png$"):
        draw_architecture(denoise, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_suffix_may_be_upper_case(tmp_path):
    save_figure(Figure(), tmp_path / "a.PNG")
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")


def test_marked_edges_are_red_and_the_legend_says_why(denoise, tmp_path):
    red = "#d0021b"
    edges = denoise.cells[1].nodes[2]

    def strokes(count):
        path = tmp_path / "marked.svg"
        draw_architecture(denoise, path, marked={(1, 2, edge.source) for edge in edges[:count]})
        return path.read_text().count(f"stroke: {red}")

    assert strokes(0) == 0
    one, two = strokes(1), strokes(2)
    assert one >= 4  # the operation's box, the line into it, the arrow out of it, the legend
    assert two >= one + 3
    found = texts(denoise, tmp_path, marked={(1, 2, edges[0].source)})
    (legend,) = [x for word, x, _ in found if word == "changed"]
    page = re.search(r'width="([\d.]+)pt"', (tmp_path / "drawing.svg").read_text())
    assert legend + 50 < float(page.group(1))  # points that the word takes
