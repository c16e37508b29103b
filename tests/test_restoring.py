"""Restoring: tiles equal the whole, modes are kept, and one bad file does not stop the rest."""

import numpy as np
import pytest
from PIL import Image
from tiny import random_variables

from hinas_jax.architecture import Architecture, CellArchitecture, Edge
from hinas_jax.data.pictures import PictureError
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
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


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
