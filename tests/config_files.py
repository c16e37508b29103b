"""The configs there are, and how one is refused; shared by the tests of configs."""

import pytest

from hinas_jax.config_forms import ConfigError

NAMES = [
    "deblock_bsd500",
    "deblur_bsd500",
    "debug",
    "demo",
    "denoise_bsd500",
    "denoise_bsd500_range",
    "denoise_bsd500_released",
    "paired_folder",
    "sr_div2k_x2",
    "sr_div2k_x3",
    "sr_div2k_x4",
    "sr_div2k_x8",
]


def refusal(function, *arguments):
    """The one line in which it is refused."""
    with pytest.raises(ConfigError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message
