"""Restoring: tiles equal the whole, modes are kept, and one bad file does not stop the rest."""

import os

import numpy as np
import pytest
from PIL import Image
from tiny import random_variables

from hinas_jax import restoring
from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.data.pictures import Picture, PictureError, load
from hinas_jax.data.saving import save
from hinas_jax.modelfile import Model
from hinas_jax.restoring import Restorer, restore_files
from hinas_jax.space.network import Network

CELL = CellArchitecture(((Edge(0, "sep3"), Edge(1, "dil3")),))


def model_of(channels=1, scale=1):
    task = "denoise" if scale == 1 else "super_resolve"
    architecture = Architecture((CELL,), (0,), 3, (1, 2), task, channels, scale, start_width=4, end_width=4)
    example = np.zeros((1, 8, 8, channels), np.float32)
    variables = random_variables(Network(architecture), example, train=False)
    small = {**variables["params"]["end"]["residual"]}
    small["kernel"] = small["kernel"] * 0.05  # keeps the restored picture inside [0, 1]
    small["bias"] = small["bias"] * 0
    variables["params"]["end"] = {**variables["params"]["end"], "residual": small}
    return Model(architecture, variables, {"task": {"sigmas": [50.0]}})


@pytest.fixture(scope="module")
def denoiser():
    return model_of()


@pytest.fixture(scope="module")
def denoiser_file(denoiser, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    denoiser.save(path)
    return path


@pytest.mark.parametrize(("channels", "scale"), [(1, 1), (3, 2)])
def test_tiles_equal_the_whole(channels, scale):
    model = model_of(channels, scale)
    picture = np.random.default_rng(0).uniform(0.3, 0.7, (75, 61, channels)).astype(np.float32)
    whole, tiled = Restorer(model, tile=100)(picture), Restorer(model, tile=30)(picture)
    assert whole.shape == (75 * scale, 61 * scale, channels)
    assert np.ptp(whole) > 0.1
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


def test_a_grey_model_restores_each_channel_of_a_colour_picture(denoiser):
    picture = np.random.default_rng(0).uniform(0.2, 0.8, (20, 24, 3)).astype(np.float32)
    restorer = Restorer(denoiser)
    expected = [restorer(picture[..., c : c + 1]) for c in range(3)]
    np.testing.assert_allclose(restorer(picture), np.concatenate(expected, axis=-1), atol=1e-6)


def test_the_result_stays_in_range(denoiser):
    restored = Restorer(denoiser)(np.random.default_rng(0).normal(0.5, 2, (20, 20, 1)))
    assert (restored.min(), restored.max()) == (0, 1)


def test_super_resolution_enlarges_alpha_with_the_picture(tmp_path):
    model_of(3, 2).save(tmp_path / "m.safetensors")
    pixels = np.random.default_rng(0).integers(60, 190, (14, 17, 4), np.uint8)
    pixels[:, :8, 3], pixels[:, 8:, 3] = 0, 255
    Image.fromarray(pixels).save(tmp_path / "in.png")
    assert restore_files(tmp_path / "m.safetensors", [tmp_path / "in.png"], tmp_path / "out", say=lambda _: None) == 0
    with Image.open(tmp_path / "out" / "in.png") as result:
        assert (result.mode, result.size) == ("RGBA", (34, 28))
        alpha = np.asarray(result)[..., 3]
    assert (alpha[:, :12] == 0).all()
    assert (alpha[:, 20:] == 255).all()


def test_folders_keep_their_structure_and_bad_files_are_told(denoiser_file, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.new("L", (20, 20), 90).save(tmp_path / "in" / "deep" / "good.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"no picture")
    Image.new("L", (20, 20), 90).save(tmp_path / "old.ppm")
    said: list[str] = []
    inputs = [tmp_path / "in", tmp_path / "old.ppm"]
    assert restore_files(denoiser_file, inputs, tmp_path / "out", say=said.append) == 1
    written = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert written == ["deep/good.png", "old.png"]
    assert len(said) == 3
    assert sum("bad.png" in line for line in said) == 1


def test_an_input_is_never_replaced(denoiser_file, tmp_path):
    Image.new("L", (20, 20), 90).save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert restore_files(denoiser_file, [tmp_path / "a.png"], tmp_path, say=lambda _: None) == 1
    assert (tmp_path / "a.png").read_bytes() == before


def test_an_output_that_cannot_be_made_is_told(denoiser_file, tmp_path):
    Image.new("L", (20, 20), 90).save(tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(PictureError, match="cannot be written"):
        restore_files(denoiser_file, [tmp_path / "a.png"], tmp_path / "file" / "out", say=lambda _: None)


def restored(model, inputs, output, **options):
    """How many failed, and the lines that were said."""
    said: list[str] = []
    return restore_files(model, inputs, output, say=said.append, **options), said


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0.3, 0.7, shape).astype(np.float32)


def test_each_picture_keeps_its_format_and_what_belongs_to_it(denoiser_file, tmp_path):
    """What users of other tools miss: alpha, grey, 16 bits, notes, profile."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    grey, colour, alpha = noise(20, 24, 1), noise(20, 24, 3), noise(20, 24)
    notes = Image.Exif()
    notes[0x010F] = "a camera"
    kinds = {
        "grey.png": Picture(grey),
        "grey_alpha.png": Picture(grey, alpha),
        "grey16.png": Picture(grey, bits=16),
        "grey16.tif": Picture(grey, bits=16),
        "colour.webp": Picture(colour, alpha),
        "colour.bmp": Picture(colour),
        "colour16.png": Picture(colour, bits=16),
        "colour16_alpha.png": Picture(colour, alpha, 16, b"a profile", notes.tobytes()),
        "colour.jpg": Picture(colour, icc_profile=b"a profile", exif=notes.tobytes()),
    }
    for name, picture in kinds.items():
        save(picture, folder / name)
    assert restored(denoiser_file, [folder], out)[0] == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(kinds)
    restorer = Restorer(Model.load(denoiser_file))
    for name in kinds:
        source, result = load(folder / name), load(out / name)
        assert (result.bits, result.icc_profile) == (source.bits, source.icc_profile), name
        assert (result.exif is None) == (source.exif is None), name
        if source.alpha is None:
            assert result.alpha is None
        else:
            np.testing.assert_allclose(result.alpha, source.alpha, atol=1e-6, err_msg=name)
        tolerance = 0.06 if name.endswith("jpg") else 0.51 / (2**source.bits - 1)
        np.testing.assert_allclose(result.pixels, restorer(source.pixels), atol=tolerance, err_msg=name)


def test_the_whole_picture_is_never_on_the_device(denoiser, monkeypatch):
    """A huge picture that went there whole is what made other tools run out of memory in spite of tiles."""
    sizes = []
    array = restoring.jnp.asarray
    monkeypatch.setattr(restoring.jnp, "asarray", lambda x, *a: sizes.append(np.size(x)) or array(x, *a))
    restorer = Restorer(denoiser, tile=32)
    restorer.picture(Picture(noise(100, 130, 3), noise(100, 130)))
    assert len(sizes) > 3 * 12
    assert max(sizes) <= restorer._tile**2


def test_alpha_is_enlarged_by_tiles_as_whole_and_the_printed_size_stays():
    model = model_of(3, 2)
    picture = Picture(noise(75, 61, 3), noise(75, 61), dpi=(300, 200))
    results = [Restorer(model, tile).picture(picture) for tile in (100, 30)]
    whole, tiled = (result.alpha for result in results)
    assert results[0].dpi == (600, 400)  # as large on paper as before
    assert whole.shape == (150, 122)
    np.testing.assert_allclose(tiled, whole, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (2, 1)])
def test_the_narrowest_pictures_are_restored(denoiser_file, shape, tmp_path):
    save(Picture(noise(*shape, 1)), tmp_path / "a.png")
    assert restored(denoiser_file, [tmp_path / "a.png"], tmp_path / "out")[0] == 0
    assert load(tmp_path / "out" / "a.png").pixels.shape == (*shape, 1)


def test_every_bad_input_gets_its_line_and_the_rest_is_restored(denoiser_file, tmp_path):
    folder = tmp_path / "in"
    (folder / "empty").mkdir(parents=True)
    save(Picture(noise(8, 8, 1)), folder / os.fsdecode(b"caf\xe9\n.png"))
    save(Picture(noise(8, 8, 1)), folder / "good.png")
    (folder / "bad.png").write_bytes(b"no picture")
    os.mkfifo(folder / "pipe.png")
    (folder / "self").symlink_to(folder, target_is_directory=True)
    (folder / "circle").symlink_to(folder / "circle")
    frames = [Image.new("L", (8, 8), level) for level in (90, 120)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    inputs = [folder / "empty", folder, tmp_path / "nowhere.png"]
    failures, said = restored(denoiser_file, inputs, tmp_path / "out")
    assert failures == 4
    assert [line.replace(f"{tmp_path}/", "") for line in said] == [
        "in/empty: no pictures here or in folders below;"
        " put some in (.bmp .gif .jpeg .jpg .pgm .png .ppm .tif .tiff .webp)",
        "[1/6] in/bad.png: not a picture that can be read; save it as a PNG",
        r"[2/6] in/caf\xe9\n.png (8x8) -> out/caf\xe9\n.png",
        "[3/6] in/film.gif (8x8, the first of several pictures in the file) -> out/film.png",
        "[4/6] in/good.png (8x8) -> out/good.png",
        "[5/6] in/pipe.png: a device or a pipe, not a file; name a picture's file",
        "[6/6] nowhere.png: there is no such file; check the path",
    ]
    assert sorted(os.fsencode(path.name) for path in (tmp_path / "out").iterdir()) == [
        b"caf\xe9\n.png",
        b"film.png",
        b"good.png",
    ]


def test_thousands_of_files_are_gone_through(denoiser_file, tmp_path):
    (tmp_path / "in").mkdir()
    for i in range(3000):
        (tmp_path / "in" / f"{i:04}.png").write_bytes(b"no picture")
    save(Picture(noise(8, 8, 1)), tmp_path / "in" / "last.png")
    failures, said = restored(denoiser_file, [tmp_path / "in"], tmp_path / "out")
    assert (failures, len(said)) == (3000, 3001)
    assert said[-1].startswith("[3001/3001] ")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["last.png"]


def test_no_result_leaves_the_output_folder(denoiser_file, tmp_path):
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    for folder in (tmp_path / "in" / "deep", tmp_path / "in" / "loop", out, elsewhere):
        folder.mkdir(parents=True)
    for name in ("deep/a.png", "loop/b.png", "c.png"):
        save(Picture(noise(8, 8, 1)), tmp_path / "in" / name)
    (out / "deep").symlink_to(elsewhere, target_is_directory=True)
    (out / "loop").symlink_to(out / "loop")
    (elsewhere / "c.png").write_bytes(b"mine")
    (out / "c.png").symlink_to(elsewhere / "c.png")
    failures, said = restored(denoiser_file, [tmp_path / "in"], out)
    assert failures == 2
    assert f"a link at {out}/deep leads out of --output" in said[1]
    assert f"a link at {out}/loop leads out of --output" in said[2]
    assert [path.name for path in elsewhere.iterdir()] == ["c.png"]
    assert (elsewhere / "c.png").read_bytes() == b"mine"
    assert load(out / "c.png").pixels.shape == (8, 8, 1)  # in the link's place


def test_results_of_an_earlier_run_inside_the_inputs_are_no_inputs(denoiser_file, tmp_path):
    save(Picture(noise(8, 8, 1)), tmp_path / "a.png")
    for _ in range(2):
        failures, said = restored(denoiser_file, [tmp_path], tmp_path / "restored")
        assert (failures, len(said)) == (0, 1)
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["a.png", "a.png"]


def test_results_that_are_there_are_written_anew_unless_they_are_to_be_kept(denoiser_file, tmp_path):
    out = tmp_path / "out"
    for name in ("a.png", "b.png"):
        save(Picture(noise(8, 8, 1)), tmp_path / name)
    out.mkdir()
    (out / "a.png").write_bytes(b"mine")
    failures, said = restored(denoiser_file, [tmp_path / "a.png", tmp_path / "b.png"], out, keep=True)
    assert failures == 0
    assert said[0] == f"[1/2] {tmp_path}/a.png: {out}/a.png is there already"
    assert (out / "a.png").read_bytes() == b"mine"
    restored(denoiser_file, [tmp_path / "a.png"], out)
    assert (out / "a.png").read_bytes() == (out / "b.png").read_bytes()


def test_a_file_in_the_way_costs_one_picture(denoiser_file, tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("deep/a.png", "b.png"):
        save(Picture(noise(8, 8, 1)), tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").write_text("mine")
    failures, said = restored(denoiser_file, [tmp_path / "in"], tmp_path / "out")
    assert failures == 1
    assert f"{tmp_path}/out/deep: cannot be made" in said[1]
    assert (tmp_path / "out" / "b.png").exists()


def test_a_result_of_too_many_pixels_is_refused_before_the_work(denoiser_file, tmp_path, monkeypatch):
    save(Picture(noise(8, 8, 1)), tmp_path / "a.png")
    monkeypatch.setattr(restoring, "MOST_RESULT_PIXELS", 63)
    failures, said = restored(denoiser_file, [tmp_path / "a.png"], tmp_path / "out")
    assert failures == 1
    assert said == [f"{tmp_path}/a.png: the result would have more than 63 pixels; cut it up"]


def test_a_model_that_gives_no_numbers_is_told(denoiser, tmp_path):
    huge = {**denoiser.variables, "params": {**denoiser.variables["params"]}}
    end = huge["params"]["end"]
    huge["params"]["end"] = {**end, "residual": {k: np.full_like(v, 3e38) for k, v in end["residual"].items()}}
    start = huge["params"]["start"]
    huge["params"]["start"] = {k: {n: np.full_like(x, -3e38) for n, x in v.items()} for k, v in start.items()}
    Model(denoiser.architecture, huge, denoiser.card).save(tmp_path / "m.safetensors")
    save(Picture(noise(8, 8, 1)), tmp_path / "a.png")
    failures, said = restored(tmp_path / "m.safetensors", [tmp_path / "a.png"], tmp_path / "out")
    assert failures == 1
    assert "values that are no numbers" in said[0]


def test_a_model_that_the_device_cannot_hold_is_told_before_it_runs(tmp_path):
    """A file of a few megabytes whose features of 2048x2048 pixels would take a terabyte."""
    architecture = Architecture((CELL,), (0,), 1, (1,), start_width=1, end_width=65536)
    variables = random_variables(Network(architecture), np.zeros((1, 8, 8, 1), np.float32), train=False)
    Model(architecture, variables, {}).save(tmp_path / "m.safetensors")
    Image.new("L", (2048, 2048)).save(tmp_path / "a.png")
    failures, said = restored(tmp_path / "m.safetensors", [tmp_path / "a.png"], tmp_path / "out", tile=2048)
    assert failures == 1
    assert said[0].startswith(f"{tmp_path}/a.png: the features of 2048x2048 pixels need 1")
    assert said[0].endswith("; take smaller tiles or pictures (--tile)")
