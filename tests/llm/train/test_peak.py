"""Operations counted against torch's own counter, and the fastest product."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from app.llm.config import PRESETS, ModelConfig
from app.llm.model.transformer import Transformer
from app.llm.train import peak
from app.llm.train.peak import flops_per_token

WINDOW = 16


@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny"])
@pytest.mark.parametrize("tied", [True, False])
def test_operations_are_those_that_torch_counts(preset, tied):
    """Torch counts the forward pass of each product, attention's scores and mixtures over the whole window."""
    config = ModelConfig(**{**PRESETS[preset], "vocab_size": 300, "tied": tied})
    model = Transformer(config)
    ids = torch.zeros(2, WINDOW, dtype=torch.int64)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # in products that it can count
        model(ids)
    forward = counter.get_total_flops() / ids.numel()
    assert flops_per_token(config, WINDOW) == pytest.approx(3 * forward, rel=1e-6)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_peak_is_that_of_products_in_the_precision(precision, monkeypatch):
    seen: list[tuple[int, torch.dtype]] = []
    measured = peak._seconds_of_product

    def timed(left: torch.Tensor, right: torch.Tensor) -> float:
        seen.append((len(left), left.dtype))
        return measured(left, right)

    monkeypatch.setattr(peak, "_seconds_of_product", timed)
    found = peak.matrix_product_peak(torch.device("cpu"), precision, seconds=0.0)
    assert seen == [(512, getattr(torch, precision))] * 3
    assert 1e8 < found < 1e15


def test_the_fastest_of_growing_products_counts(monkeypatch):
    """Half a millisecond for 512 x 512, the second time a fifth; larger ones until the time is over."""
    times = iter([5e-4, 2e-4, 3e-4, 1.0, 1.0, 1.0])
    monkeypatch.setattr(peak, "_seconds_of_product", lambda *_: next(times))
    ticks = iter([0.0, 0.1, 0.4])
    monkeypatch.setattr(peak.time, "perf_counter", lambda: next(ticks))
    assert peak.matrix_product_peak(torch.device("cpu"), "float32", seconds=0.3) == 2 * 512**3 / 2e-4
