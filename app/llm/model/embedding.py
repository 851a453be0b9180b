"""Where a token stands: learned position vectors (chapter 2) or rotary angles (Su et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor


def rotary_angles(start: int, tokens: int, head_dim: int, base: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines for positions `start`..`start + tokens - 1`, (T, D) each, float32.

    Both halves of a head turn by the same angles, as in Llama's released weights.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=device) / head_dim
    positions = torch.arange(start, start + tokens, dtype=torch.float32, device=device)
    half = positions[:, None] * base**-exponents  # (T, D / 2)
    angles = torch.cat((half, half), dim=-1)  # (T, D)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, angles: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (i, i + D / 2) of x, (B, H, T, D), by its position's angle."""
    cos, sin = angles
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return x * cos.to(x.dtype) + turned * sin.to(x.dtype)  # (B, H, T, D)
