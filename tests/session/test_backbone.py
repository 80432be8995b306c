"""timm networks trained as a whole."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from tolerance import assert_rounded, product

from labelgap.core.config import NetworkSettings
from labelgap.core.errors import ConfigError, UnknownName
from labelgap.core.streams import Streams
from labelgap.networks.build import build
from labelgap.networks.network import dropout_modules
from labelgap.networks.timm import TimmNetwork

NAMES = ["test_efficientnet", "test_resnet", "test_convnext", "test_byobnet", "test_vit"]


def make(name: str, shape: tuple[int, ...] = (32, 32, 3), **settings: Any) -> TimmNetwork:
    chosen = NetworkSettings(name=f"timm:{name}", **settings)
    with Streams(0).scope("weights"):
        network = build(chosen, shape, 4)
    assert isinstance(network, TimmNetwork)
    return network


def images(b: int = 6, side: int = 32, channels: int = 3) -> torch.Tensor:
    return torch.randn(b, channels, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_features_blocks_and_head(name: str) -> None:
    network = make(name).eval().double()
    x = images().double()
    out = network(x)
    assert out.features.shape == (6, network.feature_dim)
    torch.testing.assert_close(out.logits, network.head(out.features))
    assert 1 <= len(out.blocks) <= 5
    assert tuple(block.shape[1] for block in out.blocks) == network.block_dims
    # timm's own path to the pooled features.
    if network.size:
        x = F.interpolate(x, (network.size,) * 2, mode="bilinear", antialias=True)
    torch.testing.assert_close(out.features, network.body(x))


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_a_few_steps_lower_the_loss_and_move_every_stage(name: str) -> None:
    network = make(name, input_size=32).train()
    x, y = images(16), torch.arange(16) % 4
    before = {k: v.clone() for k, v in network.named_parameters()}
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(15):
        loss = F.cross_entropy(network(x).logits, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    still = [k for k, v in network.named_parameters() if torch.equal(v, before[k])]
    assert still == []


def test_blocks_carry_gradients_for_loss_heads() -> None:
    network = make("test_resnet").train()
    out = network(images())
    sum(block.mean() for block in out.blocks[:1]).backward()
    first = next(network.body.parameters())
    assert first.grad is not None
    assert first.grad.abs().sum() > 0


def test_a_network_without_maps_gives_its_features_as_block(monkeypatch: Any) -> None:
    network = make("test_resnet")
    monkeypatch.delattr(type(network.body), "forward_intermediates")
    plain = make("test_resnet")
    out = plain.eval()(images())
    assert plain.block_dims == (plain.feature_dim,)
    assert out.blocks[0].shape == out.features.shape


def test_dropout_is_an_option_and_only_stochastic_when_asked() -> None:
    assert dropout_modules(make("test_efficientnet")) == []
    network = make("test_efficientnet", dropout=0.5).eval()
    with torch.no_grad():
        assert torch.equal(network(images()).logits, network(images()).logits)
        (module,) = dropout_modules(network)
        module.train()
        with Streams(0).scope("mc"):
            one, two = network(images()), network(images())
    assert not torch.equal(one.logits, two.logits)
    # The head stays linear on the features it is given.
    head = network.head
    assert_rounded(one.logits, *product(one.features, head.weight.T, head.bias))


def test_weights_come_from_the_stream() -> None:
    one, two = make("test_efficientnet"), make("test_efficientnet")
    for key, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[key]), key


@torch.no_grad()
def test_channels_follow_the_data_and_pretrained_ones_repeat_grey(tmp_path: Path) -> None:
    assert make("test_efficientnet", (28, 28, 1))(images(side=28, channels=1)).logits.shape == (
        6,
        4,
    )
    with Streams(3).scope("weights"):
        state = timm.create_model("test_efficientnet").state_dict()
    torch.save(state, tmp_path / "w.pth")
    weights = str(tmp_path / "w.pth")
    grey = make("test_efficientnet", (28, 28, 1), weights=weights).eval()
    colour = make("test_efficientnet", (28, 28, 3), weights=weights).eval()
    for key, value in state.items():
        if not key.startswith("classifier"):
            assert torch.equal(grey.body.state_dict()[key], value), key
    x = images(side=28, channels=1).double()
    grey, colour = grey.double(), colour.double()
    torch.testing.assert_close(grey(x).features, colour(x.repeat(1, 3, 1, 1)).features)


@torch.no_grad()
def test_input_size_resizes_and_fixed_networks_keep_their_own() -> None:
    sizes: list[tuple[int, ...]] = []
    for name, settings in (
        ("test_efficientnet", {}),
        ("test_efficientnet", {"input_size": 48}),
        ("test_vit", {}),
        ("test_vit", {"input_size": 64}),
    ):
        network = make(name, **settings).eval()
        hook = network.body.register_forward_pre_hook(lambda m, a: sizes.append(a[0].shape[2:]))
        network.indices = None
        network(images())
        hook.remove()
    assert [tuple(s) for s in sizes] == [(32, 32), (48, 48), (160, 160), (64, 64)]


def test_errors_name_cause_and_cure() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'test_resnet'") as told:
        make("test_resnat")
    assert len(str(told.value)) < 600  # timm has over a thousand names
    with pytest.raises(ConfigError, match=r"network\.input_size"):
        make("test_vit", input_size=33)
