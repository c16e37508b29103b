"""Table 5 of the paper (section 4.2.3): the SSIM term of Eq. 7 in training, for super-resolution x4.

Command:  hinas table 5 --data.root DIV2K --data.tests Set5=DIR B100=DIR Urban100=DIR
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper: more SSIM, PSNR as before
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Shown, Table, Variant

table = Table(
    number=5,
    title="The loss's SSIM term, super-resolution x4",
    bases=(load_config("sr_div2k_x4"),),
    variants=(
        Variant("HiNAS*, MSE alone", training_fields={"loss.ssim_weight": 0.0}),
        Variant("HiNAS**, MSE and SSIM"),
    ),
    compared=("HiNAS*, MSE alone", "HiNAS**, MSE and SSIM"),
    sets=("Set5", "B100", "Urban100"),
    shown=(Shown("87046", "B100", scale=4), Shown("062", "Urban100", scale=4)),
)
