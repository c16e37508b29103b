"""The whole road through the command line on the config debug, for both tasks and every scale."""

import json

import numpy as np
import pytest
from PIL import Image

from hinas_jax.architecture import Architecture
from hinas_jax.cli import main

#: Fewer layers, nodes and steps than ``debug`` has: its one road as it is takes as long as all others.
SMALL = ["--space.nodes", "1", "--search.epochs", "2", "--search.warmup", "0.5", "--train.steps", "4",
         "--train.validate-every", "2"]  # fmt: skip
#: What tells tasks apart lies before and after the cells: one of one width will do.
ONE_CELL = [*SMALL, "--space.layers", "1", "--space.width-factors", "1"]
ROADS = {
    "denoise": ["--task.sigmas", "25"],
    "denoise, one alpha, no sharing, no residual": [
        *SMALL, "--task.sigmas", "25",
        "--space.no-layerwise", "--space.no-cell-sharing", "--task.no-residual",
    ],
    **{
        f"x{scale}": [
            *ONE_CELL, "--task.name", "super_resolve", "--task.scale", f"{scale}", "--task.channels", "3",
        ]
        for scale in (2, 3, 4)
    },
    "jpeg": [*ONE_CELL, "--task.name", "deblock", "--task.qualities", "10", "40", "--task.draw", "range"],
    "pairs": [*ONE_CELL, "--task.name", "paired", "--task.channels", "3"],
}  # fmt: skip


@pytest.mark.parametrize("road", ROADS)
def test_search_train_evaluate_restore_draw(road, tmp_path, quick_compiling, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(quick_compiling))
    rng = np.random.default_rng(0)
    folders = ("clean", "degraded") if road == "pairs" else (".",)
    for part, count in (("train", 5), ("test", 2)):
        for i in range(count):
            pixels = rng.integers(0, 256, (90, 84 + i, 3), np.uint8)
            for folder in folders:
                (tmp_path / "data" / part / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(tmp_path / "data" / part / folder / f"{i}.png")
                pixels = pixels // 2  # the degraded one
    fields = [*ROADS[road], "--data.root", str(tmp_path / "data")]
    found, trained, result = tmp_path / "search", tmp_path / "train", tmp_path / "result.json"
    main(["search", "debug", *fields, "--workdir", str(found)])
    architecture = Architecture.load(found / "architecture.json")
    scale = int(road[1]) if road[0] == "x" else 1
    assert (architecture.scale, architecture.channels) == (scale, 1 if scale == 1 and road != "pairs" else 3)
    assert architecture.residual == ("no residual" not in road)
    assert len(architecture.cells) == (2 if "denoise" in road else 1)
    assert {path.name for path in found.iterdir()} >= {
        "config.json", "manifest.json", "metrics.jsonl", "architecture.json", "architecture.svg", "checkpoints",
    }  # fmt: skip

    main(["train", "debug", *fields, "--architecture", str(found / "architecture.json"), "--workdir", str(trained)])
    assert Architecture.load(trained / "architecture.json") == architecture
    assert (trained / "architecture.svg").stat().st_size > 1000
    main(["evaluate", str(trained / "model.safetensors"), "--data", str(tmp_path / "data"), "--json", str(result)])
    report = json.loads(result.read_text())
    assert report["parameters"] == architecture.parameters()
    rows = report["results"]
    assert [row.get("quality") for row in rows] == ([10, 40] if road == "jpeg" else [None])
    row = rows[0]
    assert row["images"] == 2
    assert row.get("scale", 1) == scale
    assert row.get("sigma", 25) == 25
    if architecture.residual:  # a few steps from f_skip: still about the noisy, or the bicubically enlarged, picture
        assert 5 < row["psnr"] < 30
    else:  # a few steps from nothing
        assert 3 < row["psnr"] < 15

    source = tmp_path / "data" / "test" / folders[-1] / "0.png"
    main(["restore", str(trained / "model.safetensors"), str(source), "--output", str(tmp_path / "restored")])
    with Image.open(tmp_path / "restored" / "0.png") as restored:
        assert (restored.size, restored.mode) == ((84 * scale, 90 * scale), "RGB")
    main(["draw", str(found / "architecture.json"), "--output", str(tmp_path / "a.png")])
    assert (tmp_path / "a.png").stat().st_size > 1000
