"""Section 4.6: what a network weighs, and what one forward pass costs. Works on the meta device, so for free."""

from __future__ import annotations

from torch import nn


def parameter_count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def megabytes(parameters: int, bytes_each: int = 4) -> float:
    """Size in units of 2^20 bytes; 4 bytes each is float32."""
    return parameters * bytes_each / 2**20


def linear_flops(module: nn.Module, tokens: int) -> int:
    """Floating point operations of all linear layers on so many tokens: a multiplication and an addition a weight.

    Attention's own products are left out: they grow with the square of the length, and at GPT-2's are the lesser part.
    """
    weights = sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))
    return 2 * weights * tokens
