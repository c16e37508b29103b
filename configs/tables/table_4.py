"""Table 4 of the paper (section 4.2.3): the SSIM term of Eq. 7 in training, for denoising.

Command:  hinas table 4 --data.root BSDS500
Hardware: one GPU for the paper's schedule; --budget 0.002 takes minutes on 2 CPU cores (docs/tables.md)
Expect:   not run at full length by us yet; the paper: 0.01 to 0.02 more SSIM, up to 0.1 dB
"""

from hinas_jax.config import load_config
from hinas_jax.tables.definition import Shown, Table, Variant

table = Table(
    number=4,
    title="The loss's SSIM term, denoising",
    bases=(load_config("denoise_bsd500"),),
    variants=(
        Variant("HiNAS*, MSE alone", training_fields={"loss.ssim_weight": 0.0}),
        Variant("HiNAS**, MSE and SSIM"),
    ),
    compared=("HiNAS*, MSE alone", "HiNAS**, MSE and SSIM"),
    sigmas=(30.0, 50.0, 70.0),
    shown=(Shown("81095", sigma=50.0), Shown("101027", sigma=50.0)),
)
