"""Networks: blocks, features, head. The paper's ResNet-18, narrow variants, and an MLP.

Every network exposes the outputs of its blocks (for loss heads), its features z (the latent space
of the mixtures) and a head that is one linear layer, so that `head(features)` are the logits.
"""

from labelgap.core.config import NetworkSettings
from labelgap.core.errors import ConfigError
from labelgap.core.names import unknown_network
from labelgap.networks.mlp import MLP
from labelgap.networks.network import Network
from labelgap.networks.resnet import ResNet


def build(settings: NetworkSettings, input_shape: tuple[int, ...], num_classes: int) -> Network:
    """Make the network of a task, in the weights that the current global stream draws.

    Parameters
    ----------
    input_shape: (height, width, channels) of images or (d,) of vectors.

    Raises
    ------
    ConfigError: a convolutional network for vectors.  UnknownName: no such network.
    """
    vectors = len(input_shape) == 1
    name = settings.name
    if name == "auto":
        name = "mlp" if vectors else "resnet"
    if settings.freeze:
        if not vectors:
            raise ConfigError("A frozen backbone's features were not computed before training.")
        # One hidden layer: the latent space that Reg, alignment and mixtures work on.
        hidden = (settings.adapter,) if settings.adapter else ()
        return MLP(input_shape[0], num_classes, hidden=hidden, dropout=settings.dropout)
    if name == "mlp":
        flat = 1
        for side in input_shape:
            flat *= side
        return MLP(flat, num_classes, hidden=settings.hidden, dropout=settings.dropout)
    if vectors:
        raise ConfigError(
            f"network.name = {settings.name!r} needs images, the data are vectors.",
            "Use `--network mlp`.",
        )
    if name == "resnet":
        return ResNet(
            input_shape[2],
            num_classes,
            width=settings.width,
            blocks=settings.blocks,
            stem_stride=settings.stem_stride,
            dropout=settings.dropout,
        )
    if name.startswith("timm:"):
        from labelgap.networks.timm import TimmNetwork

        return TimmNetwork(settings, input_shape, num_classes)
    if name == "embedding":
        raise ConfigError(
            "network.name = 'embedding' is an adapter on features that stay as they are.",
            "Add `--freeze`.",
        )
    raise unknown_network(settings.name)
