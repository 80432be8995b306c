"""Distribution-aware active learning (DAAL): objective and acquisition of the paper."""

from labelgap.methods.daal.objective import (
    OURS,
    TUNED,
    DaalAcquisition,
    DaalAcquisitionOptions,
    DaalOptions,
    MixtureSettings,
    fit_critic,
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
