"""Adapters beside one network: each request gets what it gets alone, whoever shares its steps, by every runner."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.llm.config import PRESETS, AdapterConfig, LoRAConfig, ModelConfig, SamplingParams
from app.llm.engine.device_runner import DeviceRunner
from app.llm.engine.engine import Engine
from app.llm.engine.packed_probe import Found, probe
from app.llm.engine.packed_runner import PackedRunner
from app.llm.engine.request import Request, TokenEvent
from app.llm.engine.runner import Chunk, Runner, Wanted
from app.llm.engine.torch_runner import TorchRunner
from app.llm.errors import BadConfig, BadWeights
from app.llm.kernels.native import NativeRunner, threads
from app.llm.model.adapter import Adapter, check_fits, deltas, merged_reader, wear, worn
from app.llm.model.lora import apply_lora, lora_weights, merge_lora
from app.llm.model.shapes import adapter_shapes, bytes_by_part
from app.llm.model.transformer import Transformer

SHA = "0" * 64
TOKENS = 2048
NETWORKS = {
    "gpt-tiny": PRESETS["gpt-tiny"],
    "llama-tiny": PRESETS["llama-tiny"],
    "odd": dict(context_length=100, emb_dim=36, n_heads=3, n_layers=2, drop_rate=0.0),
}
Make = Callable[[Transformer], Runner]


def a_network(name: str = "llama-tiny") -> Transformer:
    torch.manual_seed(0)
    network = Transformer(ModelConfig(**{"vocab_size": 203, **NETWORKS[name]})).eval().requires_grad_(False)
    for parameter in network.parameters():
        parameter.mul_(3) if parameter.dim() > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def an_adapter(network: Transformer, lora: LoRAConfig, seed: int) -> Adapter:
    config = AdapterConfig(network.config, lora, SHA)
    draw = torch.Generator().manual_seed(seed)
    shapes = {weight.name: weight.shape for weight in adapter_shapes(config)}
    return Adapter(config, {name: 0.15 * torch.randn(shape, generator=draw) for name, shape in shapes.items()})


def two_adapters(network: Transformer) -> tuple[Adapter, Adapter]:
    """Of other ranks and layers, so that what one leaves the other does not find."""
    return (
        an_adapter(network, LoRAConfig(3, 6.0), 1),
        an_adapter(network, LoRAConfig(17, 17.0, targets=("key", "value", "up", "down")), 2),
    )


def packed(network: Transformer) -> Runner:
    found = probe("int8")
    assert isinstance(found, Found)
    return PackedRunner(network, found, found, kv_cache_tokens=TOKENS)


@pytest.fixture(params=["torch", "packed", "device", "native", "native int4"])
def make(request: pytest.FixtureRequest) -> Make:
    match request.param:
        case "torch":
            return lambda network: TorchRunner(network, kv_cache_tokens=TOKENS)
        case "packed":
            return packed
        case "device":
            place = torch.device("cpu")
            return lambda network: DeviceRunner(network, "float32", device=place, kv_cache_tokens=TOKENS)
    kernels: Path = request.getfixturevalue("kernels")
    dtype = "int4" if "int4" in request.param else "float32"
    return lambda network: NativeRunner(network, dtype, kv_cache_tokens=TOKENS, threads=threads(kernels, 2))


def run(engine: Engine, requests: list[Request], chance: random.Random | None = None) -> dict[str, list[TokenEvent]]:
    """All requests to their ends; with `chance` they come one after another, between steps."""
    waiting, events = list(requests), dict[str, list[TokenEvent]]()
    while waiting or engine.has_work:
        for _ in range(len(waiting) if chance is None else chance.randint(0, 2)):
            if waiting:
                engine.add(waiting.pop(0))
        for event in engine.step():
            assert isinstance(event, TokenEvent)
            events.setdefault(event.request_id, []).append(event)
        engine.check_integrity()
    return events


def told(events: dict[str, list[TokenEvent]]) -> tuple[dict[str, list[int]], list[float]]:
    """The ids of each request, and all log-probabilities."""
    ids = {name: [each.token_id for each in events[name]] for name in sorted(events)}
    return ids, [each.logprob for name in sorted(events) for each in events[name]]


@pytest.mark.parametrize("name", NETWORKS)
def test_two_adapters_and_their_base_in_one_batch_give_what_each_gives_alone(name: str, make: Make) -> None:
    """Ids to the last bit, log-probabilities too but for PyTorch; prompts begin alike: nothing may be shared across."""
    network = a_network(name)
    owners = [None, *two_adapters(network)]
    start = torch.randint(0, 203, (36,), generator=torch.Generator().manual_seed(4)).tolist()
    params = SamplingParams(max_new_tokens=8, temperature=0.8, top_logprobs=3)
    requests = [
        Request(f"{number}-{place}", (*start, *range(number)), replace(params, seed=number), adapter=owner)
        for number in range(3)
        for place, owner in enumerate(owners)
    ]
    alone: dict[str, list[TokenEvent]] = {}
    for request in requests:
        alone |= run(Engine(make(network)), [request])
    together = run(Engine(make(network)), requests, random.Random(0))
    if isinstance(make(network), DeviceRunner):  # products on a CPU differ with the batch, in their last bits
        (ids, chances), (ids_alone, chances_alone) = told(together), told(alone)
        assert ids == ids_alone
        assert chances == pytest.approx(chances_alone, abs=1e-4)
    else:
        assert together == alone
    texts = {owner: tuple(event.logprob for event in alone[f"0-{owner}"]) for owner in range(3)}
    assert len(set(texts.values())) == 3


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_logits_are_those_of_the_network_that_wears_the_adapter(name: str, make: Make) -> None:
    network = a_network(name)
    runner = make(network)
    closeness = 1e-4 if isinstance(runner, TorchRunner | DeviceRunner) else {"float32": 1e-4, "int8": 0.05, "int4": 0.4}
    ids = torch.randint(0, 203, (50,), generator=torch.Generator().manual_seed(4))
    for place, adapter in enumerate(two_adapters(network)):
        expected = worn(network, adapter)(ids[None])[0]
        assert (network(ids[None])[0] - expected).abs().max() > 0.5
        blocks = list(range(place * 50, place * 50 + 50))
        chunks = [
            Chunk(ids[a:b].tolist(), a, blocks, Wanted.ALL, adapter) for a, b in ((0, 20), (20, 21), (21, 23), (23, 50))
        ]
        got = torch.cat([runner.run([chunk]) for chunk in chunks])
        most = closeness if isinstance(closeness, float) else closeness[runner.dtype]
        assert (got - expected).abs().max() <= most * expected.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_worn_merged_and_trained_are_one(name: str) -> None:
    """To 1e-5; the network that others use stays as it is, and shares its weights."""
    network = a_network(name)
    ids, before = torch.arange(40)[None], {key: weight.clone() for key, weight in network.state_dict().items()}
    for adapter in two_adapters(network):
        beside = worn(network, adapter)
        got = beside(ids)
        assert beside.token_embedding.weight.data_ptr() == network.token_embedding.weight.data_ptr()
        read = merged_reader(before.__getitem__, adapter)
        merged = Transformer(network.config).eval()
        merged.load_state_dict({key: read(key) for key in before})
        torch.testing.assert_close(merged(ids), got, atol=1e-5, rtol=1e-5)
        learning = a_network(name)
        wear(learning, adapter)
        assert {key for key, p in learning.named_parameters() if p.requires_grad} == set(lora_weights(learning))
        assert torch.equal(learning(ids), got)
        merge_lora(learning)
        torch.testing.assert_close(learning(ids), got, atol=1e-5, rtol=1e-5)
    assert all(torch.equal(weight, before[key]) for key, weight in network.state_dict().items())


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_told_without_torch_are_those_of_lora(name: str) -> None:
    for lora in (LoRAConfig(5), LoRAConfig(2, targets=("out", "up"))):
        network = a_network(name)
        config = AdapterConfig(network.config, lora, SHA)
        added = apply_lora(network, lora)
        assert {weight.name: weight.shape for weight in adapter_shapes(config)} == {
            key: tuple(weight.shape) for key, weight in lora_weights(network).items()
        }
        assert sum(bytes_by_part(config).values()) == 4 * added


def test_an_adapter_of_another_base_is_refused() -> None:
    network = a_network()
    adapter = an_adapter(network, LoRAConfig(2), 1)
    check_fits(adapter.config, network.config, SHA, "base")
    with pytest.raises(BadWeights, match="other weights than those of base"):
        check_fits(adapter.config, network.config, "1" * 64, "base")
    with pytest.raises(BadWeights, match="another network than base: one of emb_dim 64, not 32"):
        check_fits(adapter.config, replace(network.config, emb_dim=32), SHA, "base")
    with pytest.raises(BadWeights, match="not those of its configuration"):
        Adapter(adapter.config, dict(list(adapter.tensors.items())[1:]))
    with pytest.raises(BadConfig, match="no linear layers called gate"):
        AdapterConfig(a_network("gpt-tiny").config, LoRAConfig(2, targets=("gate",)), SHA)


def test_what_an_adapter_has_not_beside_a_layer_costs_nothing() -> None:
    network = a_network()
    block = deltas(an_adapter(network, LoRAConfig(2, targets=("value",)), 1))[0]
    assert block.out is block.up is block.down is None
    assert block.qkv is not None
    assert block.qkv.a.shape == (2, 64)
