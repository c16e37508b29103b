"""A training that starts from the kernels of the best supernet of a search."""

import dataclasses

import numpy as np
import pytest
from left_by_runs import leaves_equal, quiet, with_train

from hinas_jax import training
from hinas_jax.config_forms import ConfigError
from hinas_jax.training import best_supernet, train


def first_state(config, architecture, workdir, monkeypatch):
    """The state before the first step."""

    class Stopped(Exception):  # noqa: N818
        pass

    def stop(what, function, arguments, say, **_):
        del what, function, say
        raise Stopped(arguments[0])

    with monkeypatch.context() as patch:
        patch.setattr(training, "compile_step", stop)
        with pytest.raises(Stopped) as caught:
            train(config, architecture, workdir, say=quiet)
    return caught.value.args[0]


def test_a_warm_start_takes_the_kernels_of_the_best_supernet(
    searched, tiny_config, architecture, tmp_path, monkeypatch
):
    config = with_train(tiny_config, warm_start=str(searched))
    supernet = best_supernet(searched, config, architecture)
    params = first_state(config, architecture, tmp_path, monkeypatch).params
    assert leaves_equal(params["start"], supernet["params"]["start"])
    cell = supernet["params"]["cell_0_1"]
    np.testing.assert_array_equal(
        params["cell_0"]["node_0_source_0"]["kernel_0"], cell["source_0"]["conv3"]["kernel_0"]
    )
    np.testing.assert_array_equal(
        params["cell_0"]["node_0_source_1"]["depthwise_1"], cell["source_1"]["sep3"]["depthwise_1"]
    )
    cold = first_state(tiny_config, architecture, tmp_path / "cold", monkeypatch).params
    assert not leaves_equal(cold["start"], params["start"])


def test_a_warm_start_from_another_supernet_is_refused(searched, tiny_config, architecture, tmp_path):
    warm = with_train(tiny_config, warm_start=str(searched))
    wider = dataclasses.replace(warm, space=dataclasses.replace(warm.space, start_width=5))
    for config, network in ((wider, architecture), (warm, dataclasses.replace(architecture, base_width=3))):
        with pytest.raises(ConfigError, match="does not hold this network"):
            train(config, network, tmp_path / str(network.base_width), say=quiet)


def test_a_warm_start_from_no_search_is_refused(tiny_config, architecture, tmp_path):
    config = with_train(tiny_config, warm_start=str(tmp_path))
    with pytest.raises(ConfigError, match="is not the folder of a search"):
        train(config, architecture, tmp_path / "run", say=quiet)
    assert not (tmp_path / "run").exists()
