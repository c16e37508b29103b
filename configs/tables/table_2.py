"""Table 2 of the paper (section 4.2.1): LWAS and residual learning for super-resolution x4 (the caption says x5).

Command:  hinas table 2 --data.root DIV2K --data.tests Set5=DIR Set14=DIR B100=DIR Urban100=DIR
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper: residual learning is worth 0.3 to 1.2 dB, LWAS up to 0.4 dB
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Shown, Table, Variant

table = Table(
    number=2,
    title="LWAS and residual learning, super-resolution x4",
    bases=(load_config("sr_div2k_x4"),),
    variants=(
        Variant("HiNAS, LWAS no, residual no", fields={"space.layerwise": False, "task.residual": False}),
        Variant("HiNAS, LWAS yes, residual no", fields={"task.residual": False}),
        Variant("HiNAS, LWAS no, residual yes", fields={"space.layerwise": False}),
        Variant("HiNAS, LWAS yes, residual yes"),
    ),
    sets=("Set5", "Set14", "B100", "Urban100"),
    shown=(Shown("78004", "B100", scale=4), Shown("016", "Urban100", scale=4)),
)
