"""Configs: what is refused and how, both ways of JSON, files, and the paper's numbers."""

import ast
import dataclasses
import json
from pathlib import Path

import pytest
from config_files import NAMES, refusal

import hinas_jax.config
from hinas_jax.config import Config, SearchConfig, differing_fields, load_config
from hinas_jax.space import search_space
from hinas_jax.tasks import Deblock, Deblur, Denoise, Paired, SuperResolve

PAPER = ["denoise_bsd500", "sr_div2k_x2", "sr_div2k_x3", "sr_div2k_x4"]

#: For every field, values that it must refuse.
WRONG = {
    "seed": [-1, 2**32, 1.5, True, "0"],
    "task.name": ["inpaint", 1],
    "task.sigmas": [(), (0.0,), (256.0,), (float("nan"),), ("30",), 30.0],
    "task.scale": [0, 2, 1.0, 10**400],
    "task.qualities": [("30",), (30.0,), 30],
    "task.blurs": [("1",), 1.6, (float("nan"),)],
    "task.draw": ["all", 1],
    "task.channels": [2, 1.0, True, "1"],
    "task.residual": [1, "yes"],
    "data.root": [3, None],
    "data.exclude": ["picture", (1,)],
    "data.residence": ["gpu", 1],
    "data.validation_fraction": [0, 1, -0.1, float("nan")],
    "space.layers": [0, 65, 1.5],
    "space.nodes": [0, 17, True],
    "space.base_width": [0, 2.5],
    "space.width_factors": [(), (0.0,), (1.0, -1.0), (0.01,), (1.0, 1e308), (float("inf"),), (float("nan"),)],
    "space.start_width": [0, 1.5],
    "space.end_width": [0, 1.5],
    "space.layerwise": [1],
    "space.cell_sharing": ["no"],
    "loss.ssim_weight": [-0.1, float("nan"), float("inf"), "0.6", 1e300],
    "loss.pixel_loss": ["l3", 2],
    "search.epochs": [0, 1.5, "3", True],
    "search.warmup": [-0.1, 1.0, float("nan")],
    "search.evaluate_after": [-0.1, 1.0],
    "search.batch_size": [0, 2.0],
    "search.patch": [0, 10, 16.0],
    "search.crops_per_picture": [0, 1.5],
    "search.learning_rate": [0.0, -1.0, float("inf"), "0.1", 1e300, 10**400],
    "search.final_learning_rate": [0.0, float("nan")],
    "search.momentum": [-0.1, 1.0],
    "search.weight_decay": [-1e-9, float("inf"), 1e300],
    "search.gradient_clip": [-0.1],
    "search.arch_learning_rate": [0.0],
    "search.arch_weight_decay": [-1e-9],
    "search.arch_gradient": ["third-order", 2],
    "search.parameter_weight": [-1.0, float("inf"), "1"],
    "search.early_stop": ["never", None, True],
    "search.stable_epochs": [0, 1.5],
    "search.skip_limit": [0, True],
    "decode.max_skips": [-1, 1.5, True, "2"],
    "train.steps": [0, 1.5],
    "train.batch_size": [0],
    "train.patch": [10],
    "train.recipe": ["old", 1],
    "train.learning_rate": [0.0, 1e300],
    "train.gradient_clip": [-0.1, 1e300],
    "train.width_scale": [0.0, -1.0, 1e308, 10**300, float("nan")],
    "train.warm_start": [1, "runs/search"],  # a folder needs width_scale 1
    "train.validate_every": [0, 0.5],
    "compute.precision": ["float16", 16],
    "compute.remat": ["layer", True],
    "compute.deterministic": [1, "yes"],
    "compute.checkpoint_seconds": [0.0, -1.0, float("inf"), "300"],
}
CASES = [(field, value) for field, values in WRONG.items() for value in values]


def fields(kind=Config, prefix=""):
    for field in dataclasses.fields(kind):
        nested = getattr(Config(), field.name, None) if not prefix else None
        if dataclasses.is_dataclass(nested):
            yield from fields(type(nested), field.name + ".")
        else:
            yield prefix + field.name


def with_field(config, name, value):
    part, _, field = name.rpartition(".")
    if not part:
        return dataclasses.replace(config, **{field: value})
    return dataclasses.replace(config, **{part: dataclasses.replace(getattr(config, part), **{field: value})})


def json_with_field(name, value):
    document = json.loads(Config().to_json())
    part, _, field = name.rpartition(".")
    (document[part] if part else document)[field] = value
    return json.dumps(document)


# --- values


def test_a_wrong_value_is_tried_for_every_field():
    assert sorted(WRONG) == sorted(fields())


@pytest.mark.parametrize(("field", "value"), CASES)
def test_a_wrong_value_is_refused_by_the_name_of_its_field(field, value):
    with pytest.raises(ValueError, match=field.rpartition(".")[2]) as caught:
        with_field(Config(), field, value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("field", "value"), CASES)
def test_a_wrong_value_in_json_is_refused_by_the_name_of_its_field(field, value):
    assert field.rpartition(".")[2] in refusal(Config.from_json, json_with_field(field, value))


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({"name": "super_resolve", "scale": 5}, "task.scale must be 2, 3, 4 or 8"),
        ({"name": "super_resolve"}, "task.scale must be 2, 3, 4 or 8"),
        ({"name": "deblock", "scale": 2}, "task.scale must be 1 for the task deblock"),
        ({"name": "deblock", "qualities": [0]}, "task.qualities"),
        ({"name": "deblock", "qualities": []}, "task.qualities"),
        ({"name": "deblur", "blurs": [11.0]}, "task.blurs"),
        ({"draw": "range", "sigmas": [50.0]}, "task.sigmas must name both ends of the range"),
    ],
)
def test_what_does_not_fit_the_task_is_refused_by_the_name_of_its_field(task, field):
    assert field in refusal(Config.from_json, json.dumps({"task": task}))


def test_fields_of_other_tasks_are_not_looked_at():
    task = Config.from_json(json.dumps({"task": {"name": "deblur", "sigmas": [], "qualities": [0]}})).task
    assert task.build() == Deblur((1.6,), channels=1)


@pytest.mark.parametrize(("scale", "least"), [(2, 6), (3, 4), (4, 3)])
def test_the_smallest_patch_is_the_one_whose_clean_side_holds_the_ssim_window(scale, least):
    document = {"task": {"name": "super_resolve", "scale": scale}, "train": {"patch": least}}
    assert Config.from_json(json.dumps(document)).train.patch == least
    document["train"]["patch"] = least - 1
    assert f"train.patch must be {least}" in refusal(Config.from_json, json.dumps(document))


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().search.epochs = 3  # type: ignore[misc]


# --- JSON


@pytest.mark.parametrize("name", NAMES)
def test_every_named_config_survives_json(name):
    config = load_config(name)
    assert Config.from_json(config.to_json()) == config


def test_a_field_that_json_leaves_out_has_its_default():
    config = Config.from_json('{"search": {"epochs": 7}}')
    assert config == Config(search=SearchConfig(epochs=7))


def test_json_tells_two_configs_apart_by_every_field():
    text = Config().to_json()
    assert set(fields()) == set(differing_fields(Config(), _all_different()))
    assert Config.from_json(_all_different().to_json()) == _all_different() != Config.from_json(text)


def _all_different():
    values = {
        "task": {"name": "super_resolve", "sigmas": [1], "scale": 2, "channels": 3, "residual": False}
        | {"qualities": [1], "blurs": [1], "draw": "range"},
        "data": {"root": "x", "exclude": ["a"], "validation_fraction": 0.5, "residence": "host"},
        "space": {"layers": 1, "nodes": 1, "base_width": 1, "width_factors": [1], "start_width": 1}
        | {"end_width": 1, "layerwise": False, "cell_sharing": False},
        "loss": {"ssim_weight": 0, "pixel_loss": "l1"},
        "search": dict.fromkeys((f.name for f in dataclasses.fields(SearchConfig)), 0.25)
        | {"epochs": 1, "batch_size": 1, "patch": 11, "crops_per_picture": 2}
        | {"arch_gradient": "second-order", "early_stop": "skip-count", "stable_epochs": 1, "skip_limit": 1},
        "decode": {"max_skips": 0},
        "train": {"steps": 1, "batch_size": 1, "patch": 11, "recipe": "modern", "learning_rate": 1}
        | {"width_scale": 1, "warm_start": "x", "validate_every": 1, "gradient_clip": 2},
        "compute": {"precision": "bfloat16", "remat": "cell", "deterministic": True, "checkpoint_seconds": 1},
    }
    return Config.from_json(json.dumps({"seed": 1} | values))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("9" * 5000, "not JSON"),
        ("[]", "the config must be a JSON object"),
        ('{"search": 3}', "search must be a JSON object"),
        ('{"search": null}', "search must be a JSON object"),
        ('{"search": {"learning_rate": ' + "9" * 400 + "}}", "search.learning_rate"),
        ('{"task": {"sigmas": [NaN]}}', "task.sigmas"),
    ],
)
def test_json_of_a_wrong_form_is_refused(text, words):
    assert words in refusal(Config.from_json, text)


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ('{"sead": 1}', "'seed'"),
        ('{"search": {"epoch": 3}}', "'search.epochs'"),
        ('{"data": {"rout": "x"}}', "'data.root'"),
    ],
)
def test_an_unknown_field_is_told_with_the_nearest_name(text, near):
    message = refusal(Config.from_json, text)
    assert message.startswith("unknown field")
    assert message.endswith(f"did you mean {near}?")


def test_an_unknown_field_far_from_all_names_is_told_alone():
    assert refusal(Config.from_json, '{"zzzzzz": 1}') == "unknown field 'zzzzzz'"


# --- documentation and the paper


@pytest.mark.parametrize("module", [hinas_jax.config, search_space])
def test_every_field_has_words_under_it(module):
    tree = ast.parse(Path(module.__file__).read_text())
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name != "Config"]
    documented = 0
    for node in classes:
        for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign):
                words = following.value if isinstance(following, ast.Expr) else None
                assert isinstance(words, ast.Constant), f"{node.name}.{ast.unparse(statement.target)}"
                assert isinstance(words.value, str)
                documented += 1
    assert documented


@pytest.mark.parametrize("name", NAMES)
def test_the_head_of_every_config_tells_command_hardware_and_result(name):
    head = ast.get_docstring(ast.parse((Path(__file__).parents[1] / "configs" / f"{name}.py").read_text()))
    assert all(f"\n{word}:" in head for word in ("Command", "Hardware", "Expect"))
    assert f" {name} " in head or "make demo" in head


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_search_settings_stand_in_its_configs(name):
    search = load_config(name).search
    assert search.batch_size == (8 if name.startswith("denoise") else 24)
    assert (search.epochs, search.warmup_epochs, search.patch) == (100, 20, 64)
    assert [epoch for epoch in range(1, 101) if search.evaluated(epoch)] == list(range(61, 101))
    assert (search.learning_rate, search.final_learning_rate) == (0.025, 0.001)
    assert (search.momentum, search.weight_decay) == (0.9, 3e-4)
    assert (search.arch_learning_rate, search.arch_weight_decay) == (1e-3, 1e-3)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_training_settings_stand_in_its_configs(name):
    config = load_config(name)
    assert config.train.steps == (400_000 if name.startswith("denoise") else 600_000)
    assert (config.train.learning_rate, config.train.batch_size, config.train.patch) == (0.05, 24, 64)
    assert config.train.recipe == "paper"
    assert (config.loss.ssim_weight, config.loss.pixel_loss) == (0.6, "l2")
    assert config.data.validation_fraction == 0.02
    assert config.space.width_factors == (1, 2, 4)


def test_the_papers_tasks_stand_in_its_configs():
    tasks = {name: load_config(name).task for name in PAPER}
    denoise = tasks.pop("denoise_bsd500")
    assert (denoise.name, denoise.sigmas, denoise.channels) == ("denoise", (30, 50, 70), 1)
    assert [(task.name, task.scale, task.channels) for task in tasks.values()] == [
        ("super_resolve", scale, 3) for scale in (2, 3, 4)
    ]
    assert all(task.residual for task in (denoise, *tasks.values()))


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("denoise_bsd500_range", Denoise((5.0, 75.0), draw="range")),
        ("sr_div2k_x8", SuperResolve(8)),
        ("deblock_bsd500", Deblock((10, 20, 30, 40))),
        ("deblur_bsd500", Deblur((1.6,))),
        ("paired_folder", Paired()),
    ],
)
def test_tasks_beyond_the_papers_have_configs(name, task):
    config = load_config(name)
    assert config.task.build() == task
    assert Config.from_json(config.to_json()) == config


@pytest.mark.parametrize("percent", range(100))
def test_parts_of_100_epochs_are_whole_epochs(percent):
    search = SearchConfig(epochs=100, warmup=percent / 100, evaluate_after=percent / 100)
    assert search.warmup_epochs == percent
    assert not search.evaluated(percent)
    assert search.evaluated(percent + 1)


@pytest.mark.parametrize("epochs", range(1, 41))
def test_the_last_epoch_is_always_evaluated_and_never_all_are_warm_up(epochs):
    search = SearchConfig(epochs=epochs)
    assert search.evaluated(epochs)
    assert search.warmup_epochs < epochs
