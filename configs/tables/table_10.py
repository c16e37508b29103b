"""Table 10 of the paper (section 4.4): denoising, with other methods.

Command:  hinas table 10 --data.root BSDS500
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; mind the protocols (docs/tables.md) before comparing rows
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Shown, Table, Variant

table = Table(
    number=10,
    title="Denoising, with other methods",
    bases=(load_config("denoise_bsd500"),),
    variants=(Variant("HiNAS"),),
    sigmas=(30.0, 50.0, 70.0),
    inference=True,
    figure="trade-off",
    shown=(Shown("15011", sigma=30.0), Shown("15011", sigma=50.0), Shown("15011", sigma=70.0)),
)
