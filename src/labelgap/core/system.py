"""What labelgap runs on: versions, devices, threads, BLAS, disk. For bug reports and scripts."""

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from labelgap._version import __version__

PACKAGES = (
    "torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "pillow", "pi-heif",
    "pyarrow", "matplotlib", "openvino", "onnx", "onnxruntime", "datasets", "ray", "openTSNE",
    "tensorboard", "mlflow", "mlflow-skinny", "wandb",
)  # fmt: skip


def system(folder: Path) -> dict[str, Any]:
    """Facts of this machine and environment, by kind.

    Parameters
    ----------
    folder: whose disk is looked at; need not exist.

    Returns "versions" (None for a package that is not there), "machine", "devices", "threads",
    "blas" (one entry a thread pool), "disk" (bytes) and "terminal".
    """
    return {
        "versions": {
            "labelgap": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
        "machine": {
            "system": platform.platform(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": sys.executable,
        },
        **_torch(),
        "blas": _blas(),
        "disk": _disk(folder),
        "terminal": {
            "encoding": getattr(sys.stdout, "encoding", None),
            "NO_COLOR": bool(os.environ.get("NO_COLOR")),
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _torch() -> dict[str, Any]:
    import torch

    from labelgap.core.device import machine

    chosen = machine()
    devices = [{"name": "cpu", "description": torch.backends.cpu.get_cpu_capability()}]
    for k in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        about = torch.cuda.get_device_properties(k)
        devices.append(
            {
                "name": f"cuda:{k}",
                "description": f"{about.name}, {about.total_memory / 2**30:.0f} GiB",
            }
        )
    if torch.backends.mps.is_available():
        devices.append({"name": "mps", "description": "Apple's GPU"})
    return {
        "devices": devices,
        "chosen": {"device": str(chosen.device), "precision": chosen.precision},
        "threads": {
            "torch": torch.get_num_threads(),
            **{
                name: os.environ[name]
                for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
                if name in os.environ
            },
        },
        "cuda": {"built for": torch.version.cuda, "available": torch.cuda.is_available()},
    }


def _blas() -> list[dict[str, Any]]:
    import numpy  # noqa: F401  (its library is one of those that are listed)
    from threadpoolctl import threadpool_info

    wanted = ("internal_api", "version", "num_threads", "architecture")
    return [{name: pool[name] for name in wanted if name in pool} for pool in threadpool_info()]


def _disk(folder: Path) -> dict[str, Any]:
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    usage = shutil.disk_usage(place)
    return {"folder": str(place), "free": usage.free, "total": usage.total}
