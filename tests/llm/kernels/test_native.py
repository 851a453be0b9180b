"""The kernels: the network's own numbers in every format, the same to the bit alone and in any batch."""

from __future__ import annotations

import ctypes
import gc
import random
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.llm.config import PRESETS, Dtype, ModelConfig, SamplingParams
from app.llm.engine.engine import Engine
from app.llm.engine.request import Event, Request, RequestFailed
from app.llm.engine.runner import Chunk, Wanted
from app.llm.errors import LLMError
from app.llm.kernels.native import NativeRunner, Threads, threads
from app.llm.model.stored import StoredNetwork
from app.llm.model.transformer import Transformer
from app.llm.weights.gguf import load_gguf, stored_gguf
from app.services.runners import is_four_bit
from tests.weight_files import CONFIGS, a_gguf
from tests.weight_files import a_network as large

DTYPES: list[Dtype] = ["float32", "bfloat16", "int8", "int4"]
ERRORS = {"float32": 1e-5, "bfloat16": 0.01, "int8": 0.04, "int4": 0.35}
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


@pytest.fixture(scope="module")
def pool(kernels: Path) -> Threads:
    return threads(kernels, 2)


def a_runner(network: Transformer | StoredNetwork, dtype: Dtype, pool: Threads, tokens: int = 640) -> NativeRunner:
    return NativeRunner(network, dtype, kv_cache_tokens=tokens, threads=pool)


@pytest.mark.parametrize("dtype", DTYPES)
def test_it_holds_nothing_of_the_network(dtype: Dtype, pool: Threads) -> None:
    network = a_network("gpt-tiny")
    kept = [weakref.ref(module) for module in network.modules()]
    runner = a_runner(network, dtype, pool)
    size = 4 * network.parameter_count()
    del network
    gc.collect()
    assert [ref for ref in kept if ref() is not None] == []
    assert runner.network is None
    assert runner.weight_bytes >= size if dtype == "float32" else runner.weight_bytes < 0.7 * size
    assert runner.run([Chunk([1, 2], 0, [0], Wanted.LAST)]).isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("config", CONFIGS.values(), ids=list(CONFIGS))
def test_packed_part_by_part_out_of_a_file_it_has_the_same_bits(
    config: ModelConfig, dtype: Dtype, pool: Threads, tmp_path: Path
) -> None:
    path = a_gguf(tmp_path / "m.gguf", large(config))
    at_once, by_parts = a_runner(load_gguf(path), dtype, pool), a_runner(stored_gguf(path)[1], dtype, pool)
    assert list(_packed(at_once)) == list(_packed(by_parts))
    chunk = Chunk(list(range(40)), 0, [0, 1, 2], Wanted.ALL)
    assert torch.equal(at_once.run([chunk]), by_parts.run([chunk]))
    assert at_once.weight_bytes == by_parts.weight_bytes


def _packed(runner: NativeRunner) -> Iterator[bytes]:
    """Values and scales of each matrix."""
    network, library = runner._network, runner._threads.kernels
    layers = [network.layers[number] for number in range(runner.config.n_layers)]
    matrices = [each for layer in layers for each in (layer.qkv, layer.out, layer.up, layer.down)]
    for matrix in (network.embedding, network.head, *matrices):
        yield ctypes.string_at(matrix.values, library.inkling_value_bytes(ctypes.byref(matrix)))
        if matrix.scales:
            yield ctypes.string_at(matrix.scales, 2 * library.inkling_scale_count(ctypes.byref(matrix)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("preset", "changed"),
    [("gpt-tiny", {}), ("gpt-tiny", {"qkv_bias": True, "tied": False}), ("llama-tiny", {"tied": False}), ("odd", {})],
)
@torch.inference_mode()
def test_logits_are_those_of_the_network(preset: str, changed: dict[str, object], dtype: Dtype, pool: Threads) -> None:
    network = a_network(preset, **changed)
    ids = torch.randint(0, 203, (50,))
    expected = network(ids[None])[0]
    got = a_runner(network, dtype, pool).run([Chunk(ids.tolist(), 0, [3, 1, 7, 2], Wanted.ALL)])
    assert (got - expected).abs().max() <= ERRORS[dtype] * expected.abs().max()
    assert (got - expected).abs().max() > 0 or dtype == "float32"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny", "odd"])
def test_whatever_is_beside_it_a_token_gets_the_same_bits(preset: str, dtype: Dtype, pool: Threads) -> None:
    network = a_network(preset)
    texts = [torch.randint(0, 203, (length,)).tolist() for length in (1, 17, 40, 33, 5, 16, 48, 2)]
    blocks = [list(range(4 * number, 4 * number + 4)) for number in range(len(texts))]
    alone = a_runner(network, dtype, pool)
    by_itself = [
        torch.cat([alone.run([Chunk([id_], at, places, Wanted.LAST)]) for at, id_ in enumerate(text)])
        for text, places in zip(texts, blocks, strict=True)
    ]
    chance = random.Random(0)
    together = a_runner(network, dtype, pool)
    at = [0] * len(texts)
    rows: list[list[Tensor]] = [[] for _ in texts]
    while chunks := _some_chunks(chance, texts, blocks, at):
        logits = together.run([chunk for _, chunk in chunks])
        for number, chunk in chunks:
            rows[number].append(logits[: len(chunk.ids)])
            logits = logits[len(chunk.ids) :]
            at[number] += len(chunk.ids)
    for mine, others in zip(by_itself, rows, strict=True):
        assert torch.equal(mine, torch.cat(others))


def _some_chunks(
    chance: random.Random, texts: list[list[int]], blocks: list[list[int]], at: list[int]
) -> list[tuple[int, Chunk]]:
    left = [number for number, text in enumerate(texts) if at[number] < len(text)]
    chosen = chance.sample(left, chance.randint(1, len(left))) if left else []
    chunks = []
    for number in chosen:
        start = at[number]
        ids = texts[number][start : start + chance.choice([1, 2, 3, 13, 30])]
        chunks.append((number, Chunk(ids, start, blocks[number], Wanted.ALL)))
    return chunks


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_threads_changes_nothing(count: int, kernels: Path, pool: Threads) -> None:
    network = a_network()
    chunk = Chunk(list(range(60)), 0, [0, 1, 2, 3], Wanted.ALL)
    other = a_runner(network, "int8", threads(kernels, count))
    assert torch.equal(a_runner(network, "int8", pool).run([chunk]), other.run([chunk]))


def random_request(chance: random.Random, name: str, shared: tuple[int, ...]) -> Request:
    params = SamplingParams(
        max_new_tokens=chance.choice([1, 5, 20]),
        temperature=chance.choice([0.0, 0.9]),
        top_p=chance.choice([None, 0.8]),
        repetition_penalty=chance.choice([1.0, 1.2]),
        frequency_penalty=chance.choice([0.0, 0.5]),
        seed=chance.randrange(3),
    )
    own = tuple(chance.randrange(203) for _ in range(chance.choice([1, 4, 20])))
    return Request(name, shared[: chance.choice([0, 16, 30])] + own, params)


@pytest.mark.parametrize("dtype", ["float32", "int4"])
@pytest.mark.parametrize("seed", range(3))
def test_32_requests_that_share_memory_get_what_each_gets_alone(dtype: Dtype, seed: int, pool: Threads) -> None:
    """They come at random, share beginnings, push each other's blocks out; some are dropped."""
    chance = random.Random(seed)
    network = a_network(context_length=128)
    shared = tuple(chance.randrange(203) for _ in range(40))
    requests = [random_request(chance, f"r{number}", shared) for number in range(32)]
    engine = Engine(a_runner(network, dtype, pool, tokens=480), prefill_chunk=24)
    events: dict[str, list[Event]] = {request.id: [] for request in requests}
    coming, dropped = list(requests), set()
    while coming or engine.has_work:
        for _ in range(min(len(coming), chance.choice([0, 1, 4]))):
            engine.add(coming.pop(0))
        if chance.random() < 0.05:
            name = chance.choice(requests).id
            engine.abort(name)
            dropped |= {name} - {request.id for request in coming}
        for event in engine.step():
            events[event.request_id].append(event)
        engine.check_integrity()
    assert engine.reserved_tokens == 0
    assert engine.cached_tokens > 0
    for request in requests:
        own = Engine(a_runner(network, dtype, pool, tokens=480))
        own.add(request)
        expected: list[Event] = []
        while own.has_work:
            expected += own.step()
        got = events[request.id]
        assert got == (expected[: len(got)] if request.id in dropped else expected)


def test_no_number_stays_none(pool: Threads) -> None:
    """A network with a NaN fails the requests that meet it, in every format, and gives the memory back."""
    for dtype in DTYPES:
        network = a_network()
        runner = a_runner(network, dtype, pool)
        bad = Request("bad", (1, 2), SamplingParams(3))
        engine = Engine(runner)
        real, runner.run = runner.run, lambda chunks, run=runner.run: run(chunks) * torch.nan  # type: ignore[method-assign]
        engine.add(bad)
        (failed,) = engine.step()
        assert isinstance(failed, RequestFailed)
        engine.check_integrity()
        runner.run = real  # type: ignore[method-assign]
        engine.add(bad)
        assert len([event for _ in range(3) for event in engine.step()]) == 3


@torch.inference_mode()
def test_a_nan_in_the_weights_reaches_the_logits(pool: Threads) -> None:
    network = a_network()
    network.blocks[0].feed_forward_norm.scale[3] = torch.nan
    for dtype in DTYPES:
        logits = a_runner(network, dtype, pool).run([Chunk([1, 2], 0, [0], Wanted.LAST)])
        assert logits.isnan().all()


def test_weights_that_have_no_place_in_a_format_are_refused(pool: Threads) -> None:
    network = a_network()
    with torch.no_grad():
        network.blocks[0].attention.out.weight[0, 0] = 1e9
    with pytest.raises(LLMError, match="no place in int4"):
        a_runner(network, "int4", pool)
    assert a_runner(network, "float32", pool).weight_bytes > 0


def test_four_bit_weights_lose_nothing(pool: Threads) -> None:
    """What came as Q4_1 is told from what did not, and comes out as it went in."""
    torch.manual_seed(0)
    whole = torch.randint(0, 16, (64, 4, 32)).float()
    whole[..., 0], whole[..., 1] = 0, 15
    scales, minima = (torch.rand(2, 64, 4, 1) * 0.1 + 0.01).half().float()
    weight = (whole * scales - minima).reshape(64, 128)
    assert is_four_bit(weight)
    assert not is_four_bit(torch.randn(64, 128))
    config = {"emb_dim": 128, "n_heads": 2, "hidden_dim": 64, "n_kv_heads": None, "n_layers": 1}
    network = a_network(**config)
    ids = list(range(30))
    with torch.no_grad():
        for linear in (m for m in network.blocks.modules() if isinstance(m, torch.nn.Linear)):
            rows, columns = linear.weight.shape
            linear.weight.copy_(weight[:, :columns].repeat(2, 1)[:rows])
        expected = network(torch.tensor([ids]))[0]
    got = a_runner(network, "int4", pool).run([Chunk(ids, 0, [0, 1], Wanted.ALL)])
    assert (got - expected).abs().max() < 0.1 * expected.abs().max()
