"""Table 9 of the paper (section 4.3): what cell sharing saves, for super-resolution x2.

Command:  hinas table 9 --data.root DIV2K --data.tests Set5=DIR B100=DIR Urban100=DIR
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper: 3.6 times faster, as good
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Table, Variant

table = Table(
    number=9,
    title="Cell sharing and the cost of the search, super-resolution x2",
    bases=(load_config("sr_div2k_x2"),),
    variants=(
        Variant("HiNAS, cells not shared", fields={"space.cell_sharing": False}),
        Variant("HiNAS, cells shared"),
    ),
    sets=("Set5", "B100", "Urban100"),
    search_cost=True,
)
