"""The definitions of the tables: all there, and their rows named as the paper's are."""

import pytest

from hinas_jax.config import load_config
from hinas_jax.config_forms import ConfigError
from hinas_jax.tables.definition import NUMBERS, RANDOM, load_table, with_fields
from hinas_jax.tables.rows import published_rows


@pytest.mark.parametrize("number", NUMBERS)
def test_every_variant_has_its_row_in_the_paper(number):
    table = load_table(number)
    assert table.number == number
    printed = {row.method for row in published_rows(table) if row.origin == "paper"}
    assert {variant.name for variant in table.variants} <= printed
    assert RANDOM.name not in printed
    assert bool(table.sigmas) != bool(table.sets)


def test_the_shared_work_is_the_same_work():
    """Tables 1, 3, 4, 6, 8, 10 hold the paper's full denoising search and train what it found alike."""
    plain = []
    for number in (1, 3, 4, 6, 8, 10):
        table = load_table(number)
        assert table.bases == (load_config("denoise_bsd500"),)
        plain += [v for v in table.variants if not v.fields and not v.training_fields and v.change == "none"]
    assert len(plain) == 6


def test_there_is_no_thirteenth_table():
    with pytest.raises(ConfigError, match="there is no table 13; the paper has 1 to 12"):
        load_table(13)


def test_fields_are_replaced_by_name():
    config = with_fields(load_config("debug"), {"seed": 4, "space.layerwise": False, "task.residual": False})
    assert (config.seed, config.space.layerwise, config.task.residual) == (4, False, False)
    with pytest.raises(ConfigError, match=r"loss\.ssim_weight must be 0 to"):
        with_fields(config, {"loss.ssim_weight": -1.0})
