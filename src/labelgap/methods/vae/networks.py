"""The variational auto-encoder and the discriminator of VAAL and TA-VAAL (Sinha et al. 2019)."""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.core.config import TUNING, Settings, setting

if TYPE_CHECKING:
    from labelgap.axes.training import Training

VAE, DISCRIMINATOR = "vae", "discriminator"
UNLABELLED_LOGIT = "unlabelled_logit"
"""−logit of the discriminator's "labelled": higher = looks unlabelled."""
SINHA = "Sinha et al. 2019, code"


class VaeSettings(Settings):
    """Auto-encoder, discriminator and their stage."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "vae_width": 128,
            "vae_hidden": 512,
            "discriminator_width": 512,
            "vae_steps": 10_000,
            "vae_steps_per_label": 1.0,
            "vae_lr": 5e-4,
        },
    }
    published: ClassVar[Literal["sum", "mean"]] = "sum"
    """How the code of the method adds up its KL divergence."""
    latent: int = setting(32, "latent dimensions", source=SINHA, ge=1)
    vae_width: int = setting(
        16, "channels of the first convolution (they double at each)", source=f"{SINHA}: 128", ge=1
    )
    vae_hidden: int = setting(128, "units of the auto-encoder of vectors", source="ours", ge=1)
    discriminator_width: int = setting(64, "units of its layers", source=f"{SINHA}: 512", ge=1)
    scaling: Literal["elbo", "published"] = setting(
        "elbo",
        "MSE, KL divergence and adversarial term all per item, in the ELBO's proportion; "
        "published: as the method's own code adds them up (VAAL's posterior collapses)",
        source="docs/methods/vaal.md",
    )
    beta: float = setting(
        1.0,
        "weight of the KL divergence",
        source=SINHA,
        evidence=f"{TUNING}: the best trials (VAAL +2.0 points, TA-VAAL +2.9, both still under "
        "random) have β over 4, at which the auto-encoder reconstructs no better than the mean "
        "image and the query is nearly random; kept where it works",
        ge=0,
        search=(0.1, 10.0, "log"),
    )
    adversarial: float = setting(
        1.0,
        "weight of fooling the discriminator",
        source=SINHA,
        evidence="as beta; weights from 4 to 256 lose (benchmarks/tuning/one-at-a-time-vaal.md)",
        ge=0,
        search=(0.01, 1.0, "log"),
    )
    vae_turns: int = setting(
        1,
        "auto-encoder steps per discriminator step, on one batch",
        source=f"TA-VAAL's code: 1; {SINHA}: 2, each on a batch of its own",
        ge=1,
    )
    vae_steps: int | None = setting(
        None,
        "steps of the stage; None: vae_fraction of the supervised stage",
        source="10,000 in the code this field compares with",
        ge=1,
    )
    vae_steps_per_label: float = setting(
        0.0, "steps added per labelled item", source="1 in the same code", ge=0
    )
    vae_fraction: float = setting(
        0.75, "steps per supervised step", source="ours: cost under 3 × random", gt=0
    )
    vae_lr: float = setting(
        3e-3,
        "Adam's rate of both",
        source=f"{SINHA}: 5e-4; ours for short stages",
        gt=0,
        search=(1e-4, 1e-2, "log"),
    )

    def steps(self, training: "Training") -> int:
        """Steps of the stage."""
        steps = self.vae_steps or self.vae_fraction * training.steps
        return max(1, round(steps + self.vae_steps_per_label * len(training.labelled_ids)))


def upsamplings(side: int) -> int:
    """Doublings of the decoder, from a map of side 4 to 7: 8 → 1, 28 → 2, 32 → 3, 64 → 4."""
    return max(1, math.floor(math.log2(side)) - 2)


class Vae(nn.Module):
    """Convolutions for images of any size (at 32 × 32 the published shapes), an MLP for vectors.

    Parameters
    ----------
    input_shape: (h, w, c) or (d,).
    condition: further numbers that the decoder gets beside the latent code.
    """

    def __init__(
        self, input_shape: tuple[int, ...], settings: VaeSettings, condition: int = 0
    ) -> None:
        super().__init__()
        latent, codes = settings.latent, settings.latent + condition
        self.shape: tuple[int, ...] = input_shape
        if len(input_shape) == 1:
            d, hidden = input_shape[0], settings.vae_hidden
            flat = hidden
            self.encoder: nn.Module = nn.Sequential(*_dense(d, hidden), *_dense(hidden, hidden))
            self.decoder: nn.Module = nn.Sequential(
                *_dense(codes, hidden), *_dense(hidden, hidden), nn.Linear(hidden, d)
            )
        else:
            h, w, channels = input_shape
            self.shape = (channels, h, w)
            self.encoder, flat = _convolutions(self.shape, settings.vae_width)
            self.decoder = _deconvolutions(self.shape, codes, settings.vae_width)
        self.mean: nn.Linear = nn.Linear(flat, latent)
        self.log_variance: nn.Linear = nn.Linear(flat, latent)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Codes start small, so that KL starts near 0 and does not explode on unusual data.
        for layer in (self.mean, self.log_variance):
            nn.init.normal_(layer.weight, std=1 / math.sqrt(flat))

    def encode(self, x: Tensor) -> tuple[Float[Tensor, "b z"], Float[Tensor, "b z"]]:
        """Mean and log-variance of q(code | x)."""
        hidden = self.encoder(x)
        return self.mean(hidden), self.log_variance(hidden)

    def decode(
        self, code: Float[Tensor, "b z"], condition: Float[Tensor, " b"] | None = None
    ) -> Tensor:
        """The reconstruction, of the inputs' shape; `condition` is squashed to [0, 1]."""
        if condition is not None:
            code = torch.cat([code, condition.sigmoid()[:, None]], dim=1)
        x: Tensor = self.decoder(code)
        if len(self.shape) == 3:
            x = x[:, :, : self.shape[1], : self.shape[2]]
        return x


def _dense(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]


def _convolutions(shape: tuple[int, ...], width: int) -> tuple[nn.Module, int]:
    channels, h, w = shape
    layers: list[nn.Module] = []
    for i in range(upsamplings(min(h, w)) + 1):
        out = width * 2 ** min(i, 3)
        layers += [nn.Conv2d(channels, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        channels, h, w = out, h // 2, w // 2
    return nn.Sequential(*layers, nn.Flatten()), channels * h * w


def _deconvolutions(shape: tuple[int, ...], codes: int, width: int) -> nn.Module:
    channels, h, w = shape
    ups = upsamplings(min(h, w))
    # Rounded up: the reconstruction is cropped to the image's size.
    start = (math.ceil(h / 2**ups), math.ceil(w / 2**ups))
    dims = [width * 2 ** min(ups - i, 3) for i in range(ups + 1)]
    layers: list[nn.Module] = [
        nn.Linear(codes, dims[0] * start[0] * start[1]),
        nn.Unflatten(1, (dims[0], *start)),
    ]
    for a, b in pairwise(dims):
        layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(dims[-1], channels, 1))


class Discriminator(nn.Module):
    """Three layers to one logit of "labelled", from the code (and the condition, squashed)."""

    def __init__(self, latent: int, width: int, condition: int = 0) -> None:
        super().__init__()
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(latent + condition, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )

    def forward(
        self, code: Float[Tensor, "b z"], condition: Float[Tensor, " b"] | None = None
    ) -> Float[Tensor, " b"]:
        if condition is not None:
            code = torch.cat([code, condition.sigmoid()[:, None]], dim=1)
        logit: Tensor = self.layers(code).squeeze(1)
        return logit
