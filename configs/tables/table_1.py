"""Table 1 of the paper (section 4.2.1): layer-wise architecture sharing (LWAS) and residual learning for denoising.

Command:  hinas table 1 --data.root BSDS500
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper: each of the two is worth 0.02 to 0.1 dB
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Shown, Table, Variant

table = Table(
    number=1,
    title="LWAS and residual learning, denoising",
    bases=(load_config("denoise_bsd500"),),
    variants=(
        Variant("HiNAS, LWAS no, residual no", fields={"space.layerwise": False, "task.residual": False}),
        Variant("HiNAS, LWAS yes, residual no", fields={"task.residual": False}),
        Variant("HiNAS, LWAS no, residual yes", fields={"space.layerwise": False}),
        Variant("HiNAS, LWAS yes, residual yes"),
    ),
    sigmas=(30.0, 50.0, 70.0),
    shown=(Shown("101027", sigma=50.0), Shown("207038", sigma=50.0)),
)
