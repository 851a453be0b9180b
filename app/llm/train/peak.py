"""How fast a device multiplies matrices, and how much of that a token asks for: the measure of a training speed."""

from __future__ import annotations

import time

import torch

from app.llm.config import ModelConfig
from app.llm.train.config import Precision

MEASURED_S = 0.3
_SIZES = (512, 1024, 2048, 4096, 8192)
_ROUNDS = 3  # of each size; the first one also makes the memory ready


def flops_per_token(config: ModelConfig, window: int) -> int:
    """Operations of one token's forward and backward pass, in windows of `window` tokens (PaLM, appendix B).

    6 N + 12 L E T: six for each weight that multiplies the token's state, and its scores and mixtures in L layers;
    a window counts whole there, as in the paper, though a token attends only to what is before it. Lookups,
    norms and biases are left out.
    """
    attention = 2 * config.emb_dim * (config.emb_dim + config.kv_heads * config.head_dim)
    mlp = (3 if config.mlp == "swiglu" else 2) * config.emb_dim * config.mlp_dim
    weights = config.n_layers * (attention + mlp) + config.vocab_size * config.emb_dim
    return 6 * weights + 12 * config.n_layers * config.emb_dim * window


@torch.no_grad()
def matrix_product_peak(device: torch.device, precision: Precision, seconds: float = MEASURED_S) -> float:
    """Operations a second of the fastest among square products of growing sizes, for about `seconds`."""
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    ends, best = time.perf_counter() + seconds, 0.0
    for size in _SIZES:
        left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
        for _ in range(_ROUNDS):
            best = max(best, 2 * size**3 / _seconds_of_product(left, right))
        if time.perf_counter() >= ends:
            break
    return best


def _seconds_of_product(left: torch.Tensor, right: torch.Tensor) -> float:
    _wait(left.device)
    began = time.perf_counter()
    torch.matmul(left, right)
    _wait(left.device)
    return max(1e-9, time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    """For what was asked of a device that answers before it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
