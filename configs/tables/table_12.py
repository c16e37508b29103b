"""Table 12 of the paper (section 4.4): super-resolution x2 and x4, with other methods.

Command:  hinas table 12 --data.root DIV2K --data.tests Set5=DIR Set14=DIR B100=DIR Urban100=DIR
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; mind the protocols (docs/tables.md) before comparing rows
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Shown, Table, Variant

table = Table(
    number=12,
    title="Super-resolution x2 and x4, with other methods",
    bases=(
        load_config("sr_div2k_x2"),
        load_config("sr_div2k_x4"),
    ),
    variants=(Variant("HiNAS"),),
    sets=("Set5", "Set14", "B100", "Urban100"),
    inference=True,
    figure="trade-off",  # in the manner of Fig. 14, which has sigma 50 and x3 only
    shown=(Shown("101085", "B100", scale=2), Shown("41069", "B100", scale=4)),
)
