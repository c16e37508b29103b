"""Table 8 of the paper (section 4.3): what cell sharing saves, for denoising.

Command:  hinas table 8 --data.root BSDS500
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper: 3.6 times faster, as good
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Table, Variant

table = Table(
    number=8,
    title="Cell sharing and the cost of the search, denoising",
    bases=(load_config("denoise_bsd500"),),
    variants=(
        Variant("HiNAS, cells not shared", fields={"space.cell_sharing": False}),
        Variant("HiNAS, cells shared"),
    ),
    sigmas=(30.0, 50.0, 70.0),
    search_cost=True,
)
