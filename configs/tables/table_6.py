"""Table 6 of the paper (section 4.2.4): what perturbing the found architecture costs, for denoising.

Command:  hinas table 6 --data.root BSDS500
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper, with one R1 and one R2 by hand: 0.04 and 0.13 dB worse
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Table, Variant

table = Table(
    number=6,
    title="Perturbed architectures, denoising",
    bases=(load_config("denoise_bsd500"),),
    variants=(
        Variant("HiNAS"),
        Variant("HiNAS, R1", change="R1", draws=3),
        Variant("HiNAS, R2", change="R2", draws=3),
    ),
    sigmas=(30.0,),
    figure="cells",
)
