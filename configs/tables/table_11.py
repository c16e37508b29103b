"""Table 11 of the paper (section 4.4): super-resolution x3, with other methods.

Command:  hinas table 11 --data.root DIV2K --data.tests Set5=DIR Set14=DIR B100=DIR Urban100=DIR
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; mind the protocols (docs/tables.md) before comparing rows
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Table, Variant

table = Table(
    number=11,
    title="Super-resolution x3, with other methods",
    bases=(load_config("sr_div2k_x3"),),
    variants=(Variant("HiNAS"),),
    sets=("Set5", "Set14", "B100", "Urban100"),
    inference=True,
    figure="trade-off",
)
