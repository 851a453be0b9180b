"""The presets are the networks they say they are. On the meta device: nothing is allocated."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.llm.config import PRESETS, ModelConfig
from app.llm.model.transformer import Transformer

GPT2 = {
    "gpt2-124m": "gpt2-small",
    "gpt2-355m": "gpt2-medium",
    "gpt2-774m": "gpt2-large",
    "gpt2-1558m": "gpt2-xl",
}
"""Presets, and what the book calls them."""


def weights_of(preset: str, **changed: Any) -> int:
    with torch.device("meta"):
        config = ModelConfig(**{"vocab_size": 50257, **PRESETS[preset], **changed})
        return Transformer(config).parameter_count()


def test_gpt2_small_has_the_books_counts() -> None:
    assert weights_of("gpt2-124m") == 124_439_808
    assert weights_of("gpt2-124m", tied=False) == 163_037_184
    assert weights_of("gpt2-124m", qkv_bias=False) == 124_412_160
    assert weights_of("gpt2-124m", qkv_bias=False, tied=False) == 163_009_536


@pytest.mark.parametrize("preset", GPT2)
def test_all_sizes_of_gpt2_have_the_books_counts(golden: Any, preset: str) -> None:
    without, with_bias = (golden(fact)["expected"][GPT2[preset]] for fact in ("ch04.params", "ch04.params.bias"))
    shape = {field: without[field] for field in ("emb_dim", "n_layers", "n_heads")}
    assert PRESETS[preset].items() >= shape.items()
    assert weights_of(preset) == with_bias["tied"]
    assert weights_of(preset, tied=False) == with_bias["total"]
    assert weights_of(preset, qkv_bias=False) == without["tied"]
    assert weights_of(preset, qkv_bias=False, tied=False) == without["total"]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_a_network_of_its_family(preset: str) -> None:
    family = "llama" if preset.startswith("llama-") else "gpt2"
    assert ModelConfig(vocab_size=100, **PRESETS[preset]).family == family
