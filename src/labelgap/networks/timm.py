"""timm's networks: trained as a whole, or frozen as a backbone that only computes features.

timm takes a second to import: that happens where a network is made and nowhere else.
"""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from labelgap.core.config import NetworkSettings
from labelgap.core.disk import FULL, PERMISSION, QUOTA, READ_ONLY, not_the_disk, trouble
from labelgap.core.errors import ConfigError, UnknownName
from labelgap.core.installing import command_for
from labelgap.core.names import TIMM
from labelgap.core.streams import Streams
from labelgap.networks.network import Network
from labelgap.networks.weights import load_weights, read_weights
from labelgap.networks.weights_file import pretrained, weights_file

FROZEN_SIZE = 128
"""Input side of a frozen convolutional backbone where none is set; see network.input_size."""


@dataclass(frozen=True)
class Preprocessing:
    """What a backbone was trained to see.

    size: side of its square input, in pixels.
    mean, std: per channel, of pixels scaled to [0, 1].
    interpolation: bilinear or bicubic, antialiased.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str


@dataclass(frozen=True)
class Backbone:
    """A frozen network in evaluation mode, what its images must look like, and its features' d."""

    model: nn.Module
    preprocessing: Preprocessing
    width: int

    @torch.inference_mode()
    def features(self, images: UInt8[Tensor, "b h w c"]) -> Float[Tensor, "b d"]:
        """Pooled float32 features of raw images, on the images' device."""
        features: Tensor = self.model(prepare(images, self.preprocessing))
        return features.flatten(1).float()


def timm_name(settings: NetworkSettings) -> str:
    """The name after "timm:". Raises `ConfigError` for another kind of network."""
    if not settings.name.startswith(TIMM):
        raise ConfigError(
            f"A frozen backbone is a timm network; network.name is {settings.name!r}.",
            "Use `--network timm:NAME --freeze`, for example timm:tf_efficientnet_lite0.",
        )
    return settings.name.removeprefix(TIMM)


def check_timm(name: str) -> None:
    """Raises `ConfigError` where timm is not installed, `UnknownName` where it has no such name.

    name: with or without "timm:".
    """
    _pretrained_cfg(name.removeprefix(TIMM))


def import_timm() -> Any:
    """The timm package. Raises `ConfigError` where it is not installed."""
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            "Networks named timm:NAME need timm, which is not installed.",
            f"{command_for('timm')} brings it.",
        ) from error
    return timm


def load_backbone(settings: NetworkSettings) -> Backbone:
    """The frozen backbone of a configuration, on the CPU.

    Its weights are `settings.weights`, else those that came with the installation, else those of
    timm's hub. Its input size is
    `settings.input_size`, else the network's own where that is fixed (vision transformers), else
    `FROZEN_SIZE`. Mean, deviation and interpolation are those its weights were trained with, as
    timm records them.

    Raises
    ------
    ConfigError: timm is not installed, the hub cannot be reached, or the weights do not fit.
    UnknownName: timm has no such network.
    DataError: the weights file is missing or damaged.
    """
    name = timm_name(settings)
    weights = pretrained(name, settings.weights)
    cfg = _pretrained_cfg(name)
    size = settings.input_size or (int(cfg.input_size[-1]) if cfg.fixed_input_size else FROZEN_SIZE)
    model = _make(name, weights, channels=3, size=size)
    model.eval().requires_grad_(False)
    interpolation = cfg.interpolation if cfg.interpolation == "bilinear" else "bicubic"
    preprocessing = Preprocessing(size, tuple(cfg.mean), tuple(cfg.std), interpolation)
    features, _ = _probe(name, model, (3, size, size), None)
    return Backbone(model, preprocessing, features.shape[1])


def empty_backbone(settings: NetworkSettings, preprocessing: Preprocessing, width: int) -> Backbone:
    """A backbone as `load_backbone` makes it, in new weights and for inputs of the given size:
    for weights that follow.

    Raises `ConfigError` where timm is not installed, `UnknownName` where it has no such network.
    """
    model = _make(timm_name(settings), None, channels=3, size=preprocessing.size)
    return Backbone(model.eval().requires_grad_(False), preprocessing, width)


def prepare(
    images: UInt8[Tensor, "b h w c"], preprocessing: Preprocessing
) -> Float[Tensor, "b 3 s s"]:
    """Resize (antialiased, the sides to one length), normalise, repeat grey to three channels."""
    size = preprocessing.size
    x = images.permute(0, 3, 1, 2).to(torch.float32)
    if x.shape[2:] != (size, size):
        # Bicubic overshoots; pixels have a range, and the weights were trained within it.
        x = resize(x, size, preprocessing.interpolation).clamp_(0, 255)
    mean, std = (
        255 * torch.tensor(v, dtype=torch.float32, device=x.device).view(1, -1, 1, 1)
        for v in (preprocessing.mean, preprocessing.std)
    )
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def resize(x: Float[Tensor, "b c h w"], size: int, mode: str) -> Float[Tensor, "b c s s"]:
    """Antialiased resampling to size × size."""
    return F.interpolate(x, (size, size), mode=mode, align_corners=False, antialias=True)


class TimmNetwork(Network):
    """A timm network trained as a whole.

    Features are its pooled ones (d as timm defines it), after dropout where
    `settings.dropout` > 0; blocks are the maps at the end of its stages (of at most five, evenly
    spaced ones), or the features where timm gives no maps.

    Weights: new ones by default; `settings.weights` = a file, or "hub". With pretrained weights
    the network keeps three input channels and grey images are repeated; images are normalised by
    the task's statistics, not the weights', which training makes up for.

    Input size: `settings.input_size`, else the network's own where that is fixed, else the
    images'.
    """

    def __init__(
        self, settings: NetworkSettings, input_shape: tuple[int, ...], num_classes: int
    ) -> None:
        name = timm_name(settings)
        cfg = _pretrained_cfg(name)
        height, width, channels = input_shape
        fixed = int(cfg.input_size[-1]) if cfg.fixed_input_size else None
        size = settings.input_size or fixed
        in_channels = 3 if settings.weights else channels
        body = _make(name, settings.weights, channels=in_channels, size=size)
        indices = _stages(body)
        shape = (size, size) if size else (height, width)
        features, blocks = _probe(name, body, (in_channels, *shape), indices)
        super().__init__(features.shape[1], tuple(b.shape[1] for b in blocks), num_classes)
        self.body: nn.Module = body
        self.indices: list[int] | None = indices
        self.size: int | None = size
        self.in_channels: int = in_channels
        self.dropout: nn.Dropout = nn.Dropout(settings.dropout)

    def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        if x.shape[1] != self.in_channels:
            x = x.expand(-1, self.in_channels, -1, -1)
        if self.size and x.shape[2:] != (self.size, self.size):
            x = resize(x, self.size, "bilinear")
        features, blocks = _run(self.body, x, self.indices)
        return self.dropout(features), blocks


def _run(body: Any, x: Tensor, indices: list[int] | None) -> tuple[Tensor, list[Tensor]]:
    if indices is None:
        features = body(x).flatten(1)
        return features, [features]
    final, blocks = body.forward_intermediates(x, indices=indices)
    return body.forward_head(final, pre_logits=True).flatten(1), blocks


@torch.no_grad()
def _probe(
    name: str, body: nn.Module, shape: tuple[int, ...], indices: list[int] | None
) -> tuple[Tensor, list[Tensor]]:
    """What the network makes of one blank input [c, h, w]: the widths of its outputs."""
    training = body.training
    try:
        return _run(body.eval(), torch.zeros(1, *shape), indices)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"timm:{name} cannot take inputs of {shape[1]}×{shape[2]} pixels ({error}).",
            "Set `network.input_size`.",
        ) from error
    finally:
        body.train(training)


def _stages(body: Any) -> list[int] | None:
    """Which of timm's intermediate outputs are the blocks; None where it gives none."""
    if not hasattr(body, "forward_intermediates"):
        return None
    count = len(body.feature_info)
    if count <= 5:
        return list(range(count))
    return [round((i + 1) * count / 4) - 1 for i in range(4)]


def _pretrained_cfg(name: str) -> Any:
    """timm's record of a network's input and weights. Raises `UnknownName`."""
    timm = import_timm()
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        near = get_close_matches(architecture, timm.list_models(), n=8, cutoff=0.4)
        raise UnknownName("timm network", name, (*near, "… and the others of timm.list_models()"))
    try:
        cfg = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        known = timm.list_pretrained(f"{architecture}.*")
        raise UnknownName("pretrained weights", name, known) from error
    if cfg is None:  # an architecture nobody has published weights of
        cfg = timm.models.PretrainedCfg()
    return cfg


def _make(name: str, weights: str | None, *, channels: int, size: int | None) -> nn.Module:
    """A timm network without its classifier: in new weights, the hub's, or a file's."""
    timm, cfg = import_timm(), _pretrained_cfg(name)
    arguments: dict[str, Any] = {"num_classes": 0, "in_chans": channels}
    if cfg.fixed_input_size and size is not None and size != cfg.input_size[-1]:
        arguments["img_size"] = size
    if weights is None:
        return _create(timm, name, arguments)
    # Weights follow; what initialisation draws must not disturb the caller's stream.
    with Streams(0).scope("backbone"):
        if (path := weights_file(weights)) is None:
            return _from_hub(timm, name, arguments)
        model = _create(timm, name, arguments)
    heads = cfg.classifier or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    load_weights(model, read_weights(path), str(path), heads)
    return model


def _create(timm: Any, name: str, arguments: dict[str, Any]) -> nn.Module:
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **arguments)
    except (TypeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"timm:{name} cannot be made with {arguments} ({error}).",
            "Leave out `network.input_size`, or choose another network.",
        ) from error
    return model


def _from_hub(timm: Any, name: str, arguments: dict[str, Any]) -> nn.Module:
    cfg = _pretrained_cfg(name)
    if not (cfg.hf_hub_id or cfg.url or cfg.file):
        raise ConfigError(
            f"timm has no pretrained weights of {name}.",
            "Give a file of them: `--weights FILE`.",
        )
    try:
        with _quick_refusal():
            model: nn.Module = timm.create_model(name, pretrained=True, **arguments)
    except (OSError, RuntimeError, ValueError) as error:
        if trouble(error) in (FULL, QUOTA, READ_ONLY, PERMISSION):  # and not the network
            not_the_disk(error, "The cache of timm's hub")
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"The pretrained weights of {name} could not be had from timm's hub ({first})",
            "Connect to the network, or give a file of them: `--weights FILE`.",
        ) from error
    return model


@contextmanager
def _quick_refusal() -> Iterator[None]:
    """Without a network the hub's client retries for most of a minute; ask its cache at once."""
    import huggingface_hub.constants as constants

    before: bool = constants.HF_HUB_OFFLINE
    host = urlsplit(constants.ENDPOINT).hostname
    if not getproxies() and host and not _resolves(host):
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _resolves(host: str) -> bool:
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        logging.getLogger(__name__).info("%s does not resolve: %s", host, error)
        return False
    return True
