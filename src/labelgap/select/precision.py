"""The widest floating-point type a device has."""

import torch


def wide(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's MPS, which has nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64
