"""Architecture: its arithmetic, its checks, and its JSON, which a reader may get from anywhere."""

import copy
import dataclasses
import json
import math
import os
from pathlib import Path

import jax
import pytest
from bad_files import json_values, places
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import KEPT

from hinas_jax.architecture import Architecture, ArchitectureError, CellArchitecture, Edge, source_name
from hinas_jax.space.initialise import variable_shapes
from hinas_jax.space.network import Network

#: Two layers, the second of which takes no h_{l-1}.
EXAMPLE = Architecture(
    cells=(
        CellArchitecture(((Edge(0, "conv3"), Edge(1, "skip")), (Edge(0, "sep5"), Edge(2, "dil3")))),
        CellArchitecture(((Edge(1, "dil5"),), (Edge(1, "sep3"), Edge(2, "skip")))),
    ),
    levels=(1, 0),
    base_width=2,
    width_factors=(1, 2),
    task="super_resolve",
    channels=3,
    scale=2,
    start_width=3,
    end_width=5,
)
DOCUMENT = json.loads(EXAMPLE.to_json())


@st.composite
def edges_of(draw, node):
    sources = draw(st.lists(st.integers(0, node + 1), min_size=1, max_size=2, unique=True))
    return tuple(Edge(source, draw(st.sampled_from(KEPT))) for source in sources)


@st.composite
def architectures(draw):
    factors = draw(st.lists(st.sampled_from([1, 1.5, 2, 4]), min_size=1, max_size=4))
    levels, level = [], 0
    for _ in range(draw(st.integers(1, 4))):
        level = draw(st.integers(max(level - 1, 0), min(level + 1, len(factors) - 1)))
        levels.append(level)
    nodes = draw(st.integers(1, 3))
    cells = [CellArchitecture(tuple(draw(edges_of(node)) for node in range(nodes))) for _ in levels]
    scale = draw(st.sampled_from([1, 2, 3, 4]))
    width = st.integers(1, 12)
    return Architecture(
        cells=tuple(cells),
        levels=tuple(levels),
        base_width=draw(width),
        width_factors=tuple(factors),
        task="denoise" if scale == 1 else "super_resolve",
        channels=draw(st.sampled_from([1, 3])),
        scale=scale,
        residual=draw(st.booleans()),
        start_width=draw(width),
        end_width=draw(width),
    )


def message_of(text):
    """What a reader is told, or None where the text holds an architecture. Any other error is a defect."""
    try:
        Architecture.from_json(text)
    except ArchitectureError as error:
        assert str(error)
        assert "\n" not in str(error)
        return str(error)
    return None


# ---- arithmetic


def test_widths_follow_the_levels():
    assert EXAMPLE.widths == (4, 2)
    assert EXAMPLE.node_count == 2
    assert EXAMPLE.scaled(1.5).widths == (6, 3)
    assert EXAMPLE.scaled(1.5) == dataclasses.replace(EXAMPLE, base_width=3)
    assert dataclasses.replace(EXAMPLE, base_width=10, width_factors=(1, 1.5)).widths == (15, 10)
    with pytest.raises(ArchitectureError, match="base_width"):
        EXAMPLE.scaled(0.1)


def test_parameters_counted_by_hand():
    start = (3 * 3 * 3 * 3 + 3) + (3 * 3 * 3 * 3 + 3)
    routers_0 = 2 * (3 * 4 + 8)  # 1x1 convolutions without bias; scale and bias of the normalisation
    conv3 = 3 * 3 * 4 * 4 + 8
    sep5 = 2 * (5 * 5 * 4 + 4 * 4 + 8)
    dil3 = 3 * 3 * 4 * 4 + 8
    router_1 = 3 * 2 + 4  # from h_{l-2}, which is the start; nothing takes h_{l-1}
    dil5 = 5 * 5 * 2 * 2 + 4
    sep3 = 2 * (3 * 3 * 2 + 2 * 2 + 4)
    end = (3 * 3 * (2 * 2) * 5 + 5) + (3 * 3 * 5 * (3 * 2 * 2) + 12)
    total = start + routers_0 + conv3 + sep5 + dil3 + router_1 + dil5 + sep3 + end
    assert EXAMPLE.parameters() == total == 1663


@settings(deadline=None, max_examples=25)
@given(architectures())
def test_parameters_are_the_leaves_of_the_network(architecture):
    params = variable_shapes(Network(architecture), architecture.channels)["params"]
    assert architecture.parameters() == sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))


def test_a_cell_knows_its_operations_and_the_inputs_it_takes():
    first, second = EXAMPLE.cells
    assert first.operations() == ("conv3", "skip", "sep5", "dil3")
    assert [first.uses(source) for source in range(4)] == [True, True, True, False]
    assert [second.uses(source) for source in range(4)] == [False, True, True, False]


def test_sources_have_the_papers_names():
    assert [source_name(source) for source in range(4)] == ["h_{l-1}", "h_{l-2}", "x_1", "x_2"]


# ---- checks


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Edge(0, "none"), "'none' is not one of conv3, sep3, sep5, dil3, dil5, skip$"),
        (lambda: Edge(0, "conv7"), "'conv7'"),
        (lambda: Edge(-1, "skip"), "source must be 0 or more, not -1"),
        (lambda: Edge(True, "skip"), "not True"),
        (lambda: Edge(0.0, "skip"), "not 0.0"),
        (lambda: CellArchitecture(()), "at least one node"),
        (lambda: CellArchitecture(((),)), "node 0 has no input"),
        (lambda: CellArchitecture(((Edge(2, "skip"),),)), "node 0 takes source 2"),
        (lambda: CellArchitecture(((Edge(1, "skip"), Edge(1, "conv3")),)), "one source twice"),
    ],
)
def test_edges_and_cells_check_themselves(make, words):
    with pytest.raises(ArchitectureError, match=words):
        make()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cells": ()}, "0 cells but 2 levels"),
        ({"levels": (0,)}, "2 cells but 1 levels"),
        ({"cells": (EXAMPLE.cells[0], CellArchitecture(((Edge(0, "skip"),),)))}, "same number of nodes"),
        ({"levels": (1, 2)}, r"layer 1 has level 2, outside 0\.\.1"),
        ({"levels": (0, -1)}, "layer 1 has level -1"),
        ({"levels": (0, True)}, "level True"),
        ({"levels": (2, 2), "width_factors": (1, 2, 4)}, "layer 0 jumps from level 0 to 2"),
        ({"levels": (1, 3), "width_factors": (1, 2, 4, 8)}, "layer 1 jumps from level 1 to 3"),
        ({"width_factors": (0.1, 1)}, "no channels"),
        ({"width_factors": ()}, "width_factors"),
        ({"width_factors": (1, 0)}, "width_factors"),
        ({"width_factors": (1, math.nan)}, "width_factors"),
        ({"width_factors": (1, math.inf)}, "width_factors"),
        ({"width_factors": (1, "2")}, "width_factors"),
        ({"width_factors": (1, True)}, "width_factors"),
        ({"task": "De-blur"}, "task must be a name in small letters, not 'De-blur'"),
        ({"task": ""}, "task must be a name"),
        ({"task": None}, "task must be a name"),
        ({"scale": 0}, "scale"),
        ({"channels": 2}, "channels must be 1 .* or 3 .*, not 2"),
        ({"channels": True}, "channels"),
        ({"channels": 3.0}, "channels"),
        ({"base_width": 0}, "base_width"),
        ({"base_width": 1.5}, "base_width"),
        ({"base_width": True}, "base_width"),
        ({"base_width": 10**9}, "base_width"),
        ({"start_width": -1}, "start_width"),
        ({"base_width": 2000, "width_factors": (1000, 1000)}, "2000000 channels a node, more than 65536"),
        ({"base_width": 30_000, "width_factors": (1, 1)}, "parameters are more than 1,000,000,000"),
        ({"cells": EXAMPLE.cells[:1] * 65, "levels": (0,) * 65}, "at most 64 layers and 16 nodes, not 65 and 2"),
        (
            {"cells": (CellArchitecture(EXAMPLE.cells[0].nodes[:1] * 17),) * 2},
            "at most 64 layers and 16 nodes, not 2 and 17",
        ),
        (
            {
                "cells": (CellArchitecture(tuple(tuple(Edge(s, "skip") for s in range(i + 2)) for i in range(16))),)
                * 20,
                "levels": (0,) * 20,
            },
            "at most 2048 edges, not 3040",
        ),
        ({"end_width": None}, "end_width"),
        ({"residual": 1}, "residual"),
    ],
)
def test_an_architecture_checks_its_fields_and_how_they_fit(changes, words):
    with pytest.raises(ArchitectureError, match=words):
        dataclasses.replace(EXAMPLE, **changes)


# ---- JSON


@settings(deadline=None, max_examples=60)
@given(architectures())
def test_json_gives_the_same_architecture_back_and_the_same_text_again(architecture):
    text = architecture.to_json()
    again = Architecture.from_json(text)
    assert again == architecture
    assert again.to_json() == text


def test_json_is_for_people_too():
    assert DOCUMENT["schema"] == 1
    assert (DOCUMENT["parameters"], DOCUMENT["widths"]) == (1663, [4, 2])
    assert DOCUMENT["cells"][0][1] == [
        {"from": "h_{l-1}", "operation": "sep5"},
        {"from": "x_1", "operation": "dil3"},
    ]


def test_fields_with_a_default_may_be_missing():
    optional = [f.name for f in dataclasses.fields(Architecture) if f.default is not dataclasses.MISSING]
    plain = Architecture(EXAMPLE.cells, (1, 0), 2, (1, 2))
    document = {name: value for name, value in DOCUMENT.items() if name not in optional}
    assert Architecture.from_json(json.dumps(document)) == plain


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"schema": 1' + "0" * 5000 + "}", "not JSON"),
        ("[]", "not an architecture of schema 1"),
        ("NaN", "not an architecture of schema 1"),
        ("{}", '"schema" must say 1'),
        (json.dumps(DOCUMENT | {"schema": 2}), '"schema" must say 1'),
        (json.dumps(DOCUMENT | {"schema": True}), '"schema" must say 1'),
        (json.dumps(DOCUMENT | {"colour": 1}), "unknown field 'colour'"),
        *(
            (json.dumps({k: v for k, v in DOCUMENT.items() if k != name}), f"field '{name}' is missing")
            for name in ("cells", "levels", "base_width", "width_factors")
        ),
        (json.dumps(DOCUMENT | {"levels": 3}), "a field has the wrong form"),
        (json.dumps(DOCUMENT | {"levels": "10"}), "level '1'"),
        (json.dumps(DOCUMENT | {"cells": [[[{"from": "x_0", "operation": "skip"}]]]}), "'x_0'"),
        (json.dumps(DOCUMENT | {"cells": [[[{"from": "x_1", "operation": "skip"}]]]}), "node 0 takes source 2"),
        (json.dumps(DOCUMENT | {"cells": [[[{"from": "y", "operation": "skip"}]]]}), "comes from 'y'"),
        (json.dumps(DOCUMENT | {"cells": [[[{"from": "x_1"}]]]}), "'operation'"),
        (json.dumps(DOCUMENT | {"levels": [0] * 100_000}), "2 cells but 100000 levels"),
    ],
    ids=lambda value: value[-20:] if len(value) < 200 else f"{len(value)} characters",
)
def test_an_invalid_text_is_told_in_one_line(text, words):
    message = message_of(text)
    assert message is not None
    assert words in message


@settings(deadline=None, max_examples=400)
@given(st.data())
def test_a_document_with_any_value_replaced_or_removed_is_valid_or_told_so(data):
    document = copy.deepcopy(DOCUMENT)
    *way, last = data.draw(st.sampled_from(list(places(DOCUMENT))))
    place = document
    for key in way:
        place = place[key]
    if data.draw(st.booleans()):
        place[last] = data.draw(json_values)
    else:
        del place[last]
    text = json.dumps(document)
    if message_of(text) is None:
        architecture = Architecture.from_json(text)
        assert architecture.parameters() > 0
        assert Architecture.from_json(architecture.to_json()) == architecture


@settings(deadline=None)
@given(st.text() | json_values.map(json.dumps))
def test_any_other_text_is_told_to_be_none(text):
    assert message_of(text) is not None


# ---- files


def test_a_saved_architecture_is_loaded_again_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "architecture.json"
    for architecture in (EXAMPLE, EXAMPLE.scaled(2)):
        architecture.save(path)
        assert Architecture.load(path) == architecture
    assert list(tmp_path.iterdir()) == [path]


def test_a_save_that_breaks_off_leaves_the_old_file_whole(tmp_path, monkeypatch):
    path = tmp_path / "architecture.json"
    EXAMPLE.save(path)

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        EXAMPLE.scaled(2).save(path)
    assert Architecture.load(path) == EXAMPLE
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_too_large_to_be_one_is_refused_unread(tmp_path):
    path = tmp_path / "architecture.json"
    with path.open("wb") as file:
        file.truncate(10**10)  # sparse: takes no room
    with pytest.raises(ArchitectureError, match=r"architecture\.json: larger than 4,194,304 bytes"):
        Architecture.load(path)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "architecture.json")
    for path in (tmp_path / "architecture.json", tmp_path, Path("/dev/zero")):
        with pytest.raises(ArchitectureError, match="a folder or a device, not a file"):
            Architecture.load(path)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"\xff\xfe\x00", b'{"schema": 1}'])
def test_a_file_that_holds_no_architecture_is_named(content, tmp_path):
    path = tmp_path / "found.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArchitectureError, match=r"found\.json: ") as caught:
        Architecture.load(path)
    assert "\n" not in str(caught.value)
