"""Files of pretrained weights: read, renamed to timm's names where needed, loaded whole."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labelgap.core.errors import ConfigError, DataError
from labelgap.core.tensors import mismatch, read_tensors

State = dict[str, Tensor]

# EfficientNets converted from TensorFlow keep its flat numbering of blocks and its own names.
_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}
# Blocks of the first stage do not expand: the projection is their only pointwise convolution.
_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
    "_se_reduce": "se.conv_reduce",
    "_se_expand": "se.conv_expand",
}


def read_weights(path: Path) -> State:
    """The state dict in a `.safetensors` file or in one that torch saved.

    A state dict nested under "state_dict" or "model", and the prefix "module." of data-parallel
    training, are taken off.

    Raises
    ------
    DataError: the file is missing, damaged, or holds something else.
    """
    try:
        state = read_tensors(path)
    except DataError as error:
        raise DataError(
            error.cause, "Give a `.safetensors` file, or a plain state dict that torch saved."
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise DataError(
            f"{path}: holds a {type(state).__name__}, not a state dict of tensors.",
            "Save `model.state_dict()`.",
        )
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def load_weights(model: nn.Module, state: State, where: str, classifier: Iterable[str]) -> None:
    """Put a state dict into a timm model, all of it or nothing.

    Parameters
    ----------
    where: the file, for messages.
    classifier: names of the modules of the original classifier; their weights may be left over,
        and nothing else may. (Batch counters of batch-norm may be missing: they are no weights.)

    Raises
    ------
    ConfigError: keys that are missing, left over, or of another shape, named.
    DataError: weights that are NaN or infinite: every feature would be.
    """
    if any(key.startswith("_conv_stem.") for key in state):
        state = from_tensorflow_names(state, model, where)
    heads = tuple(f"{name}." for name in classifier)
    wanted = {
        k: v
        for k, v in model.state_dict().items()
        if k in state or not k.endswith("num_batches_tracked")
    }
    state = {k: v for k, v in state.items() if k in wanted or not k.startswith(heads)}
    if faults := mismatch(wanted, state):
        raise ConfigError(
            f"{where}: these are not the weights of this network ({faults}).",
            "Correct `--weights`, `--network` or `network.input_size`.",
        )
    bad = [k for k, v in state.items() if v.is_floating_point() and not v.isfinite().all()]
    if bad:
        raise DataError(
            f"{where}: {len(bad)} of {len(state)} tensors have NaN or infinite weights, the first "
            f"{bad[0]}.",
            "Get the file anew, or the weights of another training.",
        )
    model.load_state_dict(state, strict=False)


def from_tensorflow_names(state: State, model: nn.Module, where: str) -> State:
    """Rename the weights of a converted TensorFlow EfficientNet (Lite or not) to timm's names.

    The files name layers by their part in a block (`_blocks.7._depthwise_conv`), so each layer is
    mapped by that part and by whether timm's seventh block expands; shapes are not consulted
    (`load_weights` checks them), since many blocks have equal ones. A key that no rule knows
    stays as it is and is reported as unexpected.

    Raises
    ------
    ConfigError: the network is no EfficientNet, or pads convolutions otherwise than TensorFlow
        did, which would load and then compute something else.
    """
    name = str(getattr(model, "pretrained_cfg", {}).get("architecture", ""))
    if not name.startswith("tf_efficientnet"):
        raise ConfigError(
            f"{where}: weights of an EfficientNet converted from TensorFlow, whose convolutions "
            f"pad differently from those of {name or 'this network'}.",
            "Use a `timm:tf_efficientnet…` network, for Lite0 `timm:tf_efficientnet_lite0`.",
        )
    stages: Any = model.blocks
    blocks = [
        (f"blocks.{i}.{j}", hasattr(block, "conv_pwl"))
        for i, stage in enumerate(stages)
        for j, block in enumerate(stage)
    ]
    return timm_names(state, blocks)


def timm_names(state: State, blocks: Sequence[tuple[str, bool]]) -> State:
    """`from_tensorflow_names` for known blocks: timm's name of each in their order, and whether it
    expands. Keys that are timm's already stay."""
    numbers = [(name, _EXPANDED if expands else _SEPARABLE) for name, expands in blocks]
    return {_renamed(key, numbers): value for key, value in state.items()}


def _renamed(key: str, blocks: Sequence[tuple[str, Mapping[str, str]]]) -> str:
    parts = key.split(".")
    number = int(parts[1]) if parts[0] == "_blocks" and parts[1].isdecimal() else len(blocks)
    if len(parts) == 4 and number < len(blocks):
        block, names = blocks[number]
        return f"{block}.{names[parts[2]]}.{parts[3]}" if parts[2] in names else key
    if parts[0] == "_fc" and len(parts) == 2:
        return f"classifier.{parts[1]}"
    if parts[0] in _OUTER and len(parts) == 2:
        return f"{_OUTER[parts[0]]}.{parts[1]}"
    return key


def weights_digest(state: State) -> str:
    """sha256 over names, types, shapes and values of everything that a model computes with.

    state: its state dict.
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        if not name.endswith("num_batches_tracked"):
            digest.update(f"{name}\x1f{value.dtype}{tuple(value.shape)}".encode())
            flat = value.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
