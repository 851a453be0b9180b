"""The network over packed layers: its own logits in every format, the same bits alone and in any batch."""

from __future__ import annotations

import gc
import random
import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.llm.config import PRESETS, Dtype, ModelConfig, SamplingParams
from app.llm.engine.engine import Engine
from app.llm.engine.packed_probe import Found, probe
from app.llm.engine.packed_runner import PackedRunner
from app.llm.engine.request import Event, Request
from app.llm.engine.runner import Chunk, Wanted
from app.llm.model.packed_linear import PackedLinear
from app.llm.model.stored import StoredNetwork
from app.llm.model.transformer import Transformer
from app.llm.weights.gguf import load_gguf, stored_gguf
from tests.weight_files import CONFIGS, a_gguf
from tests.weight_files import a_network as large

ERRORS: dict[Dtype, float] = {"bfloat16": 0.02, "int8": 0.04, "int4": 0.35}
"""Of the largest logit."""
ODD = dict(context_length=100, emb_dim=36, n_heads=3, n_layers=2, drop_rate=0.0)


def a_network(preset: str = "llama-tiny", **changed: object) -> Transformer:
    torch.manual_seed(0)
    fields = ODD if preset == "odd" else PRESETS[preset]
    network = Transformer(ModelConfig(**{"vocab_size": 203, **fields, **changed})).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3) if parameter.dim() > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def a_runner(network: Transformer | StoredNetwork, dtype: Dtype, tokens: int = 640) -> PackedRunner:
    layers, head = probe(dtype), probe("int8" if dtype == "int4" else dtype)
    assert isinstance(layers, Found)
    assert isinstance(head, Found)
    return PackedRunner(network, layers, head, kv_cache_tokens=tokens)


@pytest.mark.parametrize("dtype", list(ERRORS))
@pytest.mark.parametrize(
    ("preset", "changed"),
    [("gpt-tiny", {}), ("gpt-tiny", {"qkv_bias": True, "tied": False}), ("llama-tiny", {"tied": False}), ("odd", {})],
)
@torch.inference_mode()
def test_logits_are_those_of_the_network(preset: str, changed: dict[str, object], dtype: Dtype) -> None:
    network = a_network(preset, **changed)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    ids = torch.randint(0, 203, (50,))
    expected = network(ids[None])[0]
    runner = a_runner(network, dtype)
    places = random.Random(0).sample(range(640), 50)
    parts = [(0, 20), (20, 21), (21, 50)]
    got = torch.cat([runner.run([Chunk(ids[a:b].tolist(), a, places, Wanted.ALL)]) for a, b in parts])
    assert 0 < (got - expected).abs().max() <= ERRORS[dtype] * expected.abs().max()
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("dtype", list(ERRORS))
@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny", "odd"])
def test_whatever_is_beside_it_a_chunk_gets_the_same_bits(preset: str, dtype: Dtype) -> None:
    chance, network = random.Random(0), a_network(preset)
    texts = [torch.randint(0, 203, (length,)).tolist() for length in (1, 17, 40, 33, 5, 16, 48, 2)]
    chunks = [_chunks(chance, text, 48 * number) for number, text in enumerate(texts)]
    alone = a_runner(network, dtype)
    by_itself = [torch.cat([alone.run([chunk]) for chunk in each]) for each in chunks]
    together, rows = a_runner(network, dtype), [list[Tensor]() for _ in texts]
    while left := [number for number, each in enumerate(chunks) if each]:
        chosen = chance.sample(left, chance.randint(1, len(left)))
        step = [chunks[number].pop(0) for number in chosen]
        logits = together.run(step)
        for number, chunk in zip(chosen, step, strict=True):
            rows[number].append(logits[: len(chunk.ids)])
            logits = logits[len(chunk.ids) :]
    for mine, others in zip(by_itself, rows, strict=True):
        assert torch.equal(mine, torch.cat(others))


def _chunks(chance: random.Random, text: list[int], place: int) -> list[Chunk]:
    chunks, at = [], 0
    while at < len(text):
        ids = text[at : at + chance.choice([1, 1, 2, 13, 30])]
        chunks.append(Chunk(ids, at, range(place, place + len(text)), Wanted.ALL))
        at += len(ids)
    return chunks


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int4"])
def test_requests_together_get_what_each_gets_alone(dtype: Dtype) -> None:
    chance, network = random.Random(0), a_network(context_length=128)
    requests = [
        Request(
            f"r{number}",
            tuple(chance.randrange(203) for _ in range(chance.choice([1, 4, 20, 40]))),
            SamplingParams(
                max_new_tokens=chance.choice([1, 5, 20]), temperature=chance.choice([0.0, 0.9]), seed=number
            ),
        )
        for number in range(12)
    ]
    together = _events(Engine(a_runner(network, dtype), prefill_chunk=24), requests)
    for request in requests:
        alone = _events(Engine(a_runner(network, dtype), prefill_chunk=24), [request])
        assert together[request.id] == alone[request.id]


def _events(engine: Engine, requests: list[Request]) -> dict[str, list[Event]]:
    events: dict[str, list[Event]] = {request.id: [] for request in requests}
    for request in requests:
        engine.add(request)
        for event in engine.step():
            events[event.request_id].append(event)
    while engine.has_work:
        for event in engine.step():
            events[event.request_id].append(event)
    engine.check_integrity()
    return events


def test_none_wanted_none_given() -> None:
    runner = a_runner(a_network(), "int8")
    assert runner.run([Chunk([1, 2], 0, [0, 1], Wanted.NONE)]).shape == (0, 203)


@pytest.mark.parametrize("dtype", list(ERRORS))
@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_packed_part_by_part_out_of_a_file_it_has_the_same_bits(
    config: ModelConfig, dtype: Dtype, tmp_path: Path
) -> None:
    path = a_gguf(tmp_path / "m.gguf", large(config))
    at_once, by_parts = a_runner(load_gguf(path), dtype), a_runner(stored_gguf(path)[1], dtype)
    for one, other in zip(_packed(at_once), _packed(by_parts), strict=True):
        kept = [each for each in vars(one).values() if isinstance(each, Tensor)]
        again = [each for each in vars(other).values() if isinstance(each, Tensor)]
        assert len(kept) > 0
        assert all(map(torch.equal, kept, again))
    chunk = Chunk(list(range(40)), 0, range(40), Wanted.ALL)
    assert torch.equal(at_once.run([chunk]), by_parts.run([chunk]))
    assert at_once.weight_bytes == by_parts.weight_bytes


def _packed(runner: PackedRunner) -> list[PackedLinear]:
    layers = [(block._qkv, block._out, block._up, block._down) for block in runner._blocks]
    return [runner._head, *(each for layer in layers for each in layer)]


@pytest.mark.parametrize("dtype", ["bfloat16", "int8", "int4"])
def test_it_holds_no_linear_layer_of_the_network(dtype: Dtype) -> None:
    network = a_network(qkv_bias=True)
    kept = [weakref.ref(module) for module in network.modules()]
    embedding = network.token_embedding.weight.nbytes
    runner = a_runner(network, dtype)
    del network
    gc.collect()
    left = {type(ref()).__name__ for ref in kept if ref() is not None}
    assert left == {"Embedding", "RMSNorm"}
    assert runner.network is None
    assert runner.weight_bytes > embedding
    assert runner.run([Chunk([1, 2], 0, [0, 1], Wanted.LAST)]).isfinite().all()


def test_a_network_weighs_less_in_fewer_bits() -> None:
    network = a_network(tied=False)
    sizes = [a_runner(network, dtype).weight_bytes for dtype in ("bfloat16", "int8", "int4")]
    assert 4 * network.parameter_count() > sizes[0] > sizes[1] > sizes[2]
