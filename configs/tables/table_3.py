"""Table 3 of the paper (section 4.2.2): searched widths against widths set by hand, the cells being the same.

Command:  hinas table 3 --data.root BSDS500
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper: searched widths 0.06 to 0.11 dB better, half the size
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Table, Variant

table = Table(
    number=3,
    title="Widths searched and set by hand, denoising",
    bases=(load_config("denoise_bsd500"),),
    variants=(
        Variant("HiNAS-ws, widths searched"),
        Variant("HiNAS-w40, all widths 40", change="one level"),
        Variant("HiNAS-wm, widths 20, 40, 80", change="rising"),
    ),
    sigmas=(30.0,),
    figure="widths",
)
