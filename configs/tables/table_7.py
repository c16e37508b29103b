"""Table 7 of the paper (section 4.2.4): what perturbing the found architecture costs, for super-resolution x4.

Command:  hinas table 7 --data.root DIV2K --data.tests Set5=DIR B100=DIR Urban100=DIR
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper, with one R1 and one R2 by hand: up to 0.04 and 0.39 dB worse
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Table, Variant

table = Table(
    number=7,
    title="Perturbed architectures, super-resolution x4",
    bases=(load_config("sr_div2k_x4"),),
    variants=(
        Variant("HiNAS"),
        Variant("HiNAS, R1", change="R1", draws=3),
        Variant("HiNAS, R2", change="R2", draws=3),
    ),
    sets=("Set5", "B100", "Urban100"),
    figure="cells",
)
