"""Keys and values in blocks: found through tables, and zeros where there is no token."""

from __future__ import annotations

import torch

from app.llm.config import ModelConfig
from app.llm.model.paged_kv import PagedKV

CONFIG = ModelConfig(
    vocab_size=5, context_length=64, emb_dim=8, n_heads=4, n_kv_heads=2, n_layers=2, norm="rmsnorm", position="rope"
)


def a_memory() -> PagedKV:
    return PagedKV(CONFIG, 4, device=torch.device("cpu"), dtype=torch.float32)


def test_what_was_written_is_read_in_the_texts_order() -> None:
    kv = a_memory()
    new = torch.randn(20, 4, 2)  # keys, then values, of two heads each
    writes = torch.tensor([*range(32, 48), *range(4)])  # blocks 2 and 0
    kv.write(1, writes, new)
    places = kv.places(torch.tensor([[2, 0]]), (torch.arange(32) < 20)[None])
    keys, values = kv.read(1, places)
    assert keys.shape == values.shape == (1, 2, 32, 2)
    assert torch.equal(keys[0, :, :20], new[:, :2].transpose(0, 1))
    assert torch.equal(values[0, :, :20], new[:, 2:].transpose(0, 1))
    assert not keys[0, :, 20:].any()
    assert not torch.cat(kv.read(0, places)).any()


def test_what_is_written_nowhere_is_never_read() -> None:
    kv = a_memory()
    kv.write(0, torch.tensor([kv.nowhere, kv.nowhere]), torch.full((2, 4, 2), torch.nan))
    tables = torch.tensor([[0, 1, 2, 3], [kv.no_block] * 4])
    one_token = torch.arange(64) < 1
    assert torch.cat(kv.read(0, kv.places(tables, torch.stack((one_token | True, one_token))))).isfinite().all()
