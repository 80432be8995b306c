"""Distribution-aware active learning (DAAL): objective and acquisition of the paper."""

from labelgap.gap.critic import fit_critic
from labelgap.methods.daal.acquisition import DaalAcquisition, DaalAcquisitionOptions
from labelgap.methods.daal.settings import (
    OURS,
    TUNED,
    DaalOptions,
    MixtureSettings,
    posterior_temperature,
)

__all__ = [
    "OURS",
    "TUNED",
    "DaalAcquisition",
    "DaalAcquisitionOptions",
    "DaalOptions",
    "MixtureSettings",
    "fit_critic",
    "posterior_temperature",
]
