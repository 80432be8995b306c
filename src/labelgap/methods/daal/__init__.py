"""Distribution-aware active learning (DAAL): objective and acquisition of the paper."""

from labelgap.methods.daal.acquisition import DaalAcquisition, DaalAcquisitionOptions
from labelgap.methods.daal.fit import fit_critic
from labelgap.methods.daal.settings import (
    OURS,
    TUNED,
    CriticSettings,
    DaalOptions,
    MixtureSettings,
)

__all__ = [
    "OURS",
    "TUNED",
    "CriticSettings",
    "DaalAcquisition",
    "DaalAcquisitionOptions",
    "DaalOptions",
    "MixtureSettings",
    "fit_critic",
]
