"""Passes of few shapes: the logits of the network itself, whatever lies in memory and whoever is beside."""

from __future__ import annotations

import contextlib
import gc
import random
import weakref

import pytest
import torch
from torch import Tensor

from app.llm.config import PRESETS, Dtype, ModelConfig, SamplingParams
from app.llm.engine.device_runner import DeviceRunner
from app.llm.engine.engine import Engine
from app.llm.engine.graphs import CudaCapture, Work, uncaptured
from app.llm.engine.request import Event, Request, TokenEvent
from app.llm.engine.runner import Chunk, Runner, Wanted
from app.llm.engine.torch_runner import TorchRunner
from app.llm.errors import ContextOverflow
from app.llm.model.transformer import Transformer

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
CONTEXT = 200  # no power of two, and no multiple of a block
NETWORKS = [
    ("gpt-tiny", {}),
    ("gpt-tiny", {"qkv_bias": True, "tied": False}),
    ("llama-tiny", {}),
    ("llama-tiny", {"n_kv_heads": 1, "qkv_bias": True, "tied": False}),
    ("llama-tiny", {"n_kv_heads": 4, "emb_dim": 72, "n_heads": 12, "hidden_dim": 50}),
]


def a_network(preset: str = "llama-tiny", **changed: object) -> Transformer:
    torch.manual_seed(0)
    fields = {"vocab_size": 203, **PRESETS[preset], "context_length": CONTEXT, **changed}
    network = Transformer(ModelConfig(**fields)).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3) if parameter.dim() > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def a_runner(
    network: Transformer, dtype: Dtype = "float32", tokens: int = 2048, device: str = "cpu", **changed: object
) -> DeviceRunner:
    place = torch.device(device)
    if device == "cuda":
        changed = {"capture": CudaCapture(place), "on_failure": pytest.fail, **changed}
    return DeviceRunner(network, dtype, device=place, kv_cache_tokens=tokens, **changed)


class Text:
    """A text that is read piece by piece, at places of its own in the memory of either runner."""

    def __init__(self, ids: list[int], blocks: list[int], pieces: list[int]) -> None:
        self.ids, self.blocks, self.pieces, self.at = ids, blocks, pieces, 0

    def chunk(self, count: int, size: int, wanted: Wanted) -> Chunk:
        room = -(-(self.at + count) // size)
        places = [16 * block + within for block in self.blocks for within in range(16)] if size == 1 else self.blocks
        return Chunk(self.ids[self.at : self.at + count], self.at, places[:room], wanted)


def compare(ours: Runner, reference: Runner, texts: list[Text], chance: random.Random, error: float = 1e-4) -> None:
    """Read the texts by both, some of them in each step, and hold their logits beside each other."""
    while left := [text for text in texts if text.pieces]:
        chosen = chance.sample(left, chance.randint(1, len(left)))
        steps: list[list[Chunk]] = [[], []]
        for text in chosen:
            count, wanted = text.pieces.pop(0), chance.choice(list(Wanted))
            for step, size in zip(steps, (16, 1), strict=True):
                step.append(text.chunk(count, size, wanted))
            text.at += count
        got, expected = ours.run(steps[0]), reference.run(steps[1])
        assert got.dtype == torch.float32
        assert got.shape == expected.shape
        if len(got):
            assert (got - expected).abs().max() <= error * max(1.0, expected.abs().max().item())


def some_texts(chance: random.Random, count: int, free: list[int]) -> list[Text]:
    texts = []
    for _ in range(count):
        length = chance.choice([1, 2, 15, 16, 17, 40, 64, 65, 100, 129, CONTEXT])
        pieces, left = list[int](), length
        while left:
            pieces.append(min(left, chance.choice([1, 1, 2, 16, 33, 70])))
            left -= pieces[-1]
        blocks = [free.pop() for _ in range(-(-length // 16))]
        texts.append(Text([chance.randrange(203) for _ in range(length)], blocks, pieces))
    return texts


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("preset", "changed"), NETWORKS)
def test_logits_are_those_of_the_network_in_any_mix(preset: str, changed: dict[str, object], device: str) -> None:
    chance, network = random.Random(0), a_network(preset, **changed)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    ours, reference = a_runner(network, device=device), TorchRunner(network, kv_cache_tokens=2048)
    for _ in range(2):  # the second round meets what the first one left behind
        free = chance.sample(range(128), 128)
        compare(ours, reference, some_texts(chance, 6, free), chance)
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("preset", "changed"), NETWORKS[:3])
def test_what_lies_in_the_memory_is_not_seen(preset: str, changed: dict[str, object], device: str) -> None:
    """NaN, which no weight of zero takes away, in every place of the store but the one that stands for none."""
    chance, network = random.Random(1), a_network(preset, **changed)
    ours = a_runner(network, device=device)
    for layer in ours._kv._layers:
        layer[: -ours.block_tokens] = torch.nan
        layer[1 - ours.block_tokens :] = torch.nan
    free = chance.sample(range(128), 128)
    compare(ours, TorchRunner(network, kv_cache_tokens=2048), some_texts(chance, 6, free), chance)


def test_a_request_that_is_not_a_number_spoils_no_other() -> None:
    network = a_network()
    with torch.no_grad():
        network.token_embedding.weight[7] = torch.nan
    ours = a_runner(network)
    good, bad = Chunk([3], 0, [4], Wanted.LAST), Chunk([7], 0, [5], Wanted.LAST)
    expected = ours.run([good])[0]
    assert expected[8:].isfinite().all()
    beside = ours.run([bad, good])
    assert beside[0, 8:].isnan().all()
    assert torch.equal(beside[1].nan_to_num(), expected.nan_to_num())
    again = ours.run([Chunk([3, 3], 0, [5], Wanted.ALL)])  # in the block that it left
    assert torch.allclose(again[0, 8:], expected[8:], atol=1e-5)
    assert again[1, 8:].isfinite().all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("preset", "changed"), NETWORKS[1:3])
def test_bfloat16_is_as_near_as_its_bits_allow(preset: str, changed: dict[str, object], device: str) -> None:
    chance, network = random.Random(2), a_network(preset, **changed)
    ours = a_runner(network, "bfloat16", device=device)
    assert ours.dtype == "bfloat16"
    free = chance.sample(range(128), 128)
    compare(ours, TorchRunner(network, kv_cache_tokens=2048), some_texts(chance, 6, free), chance, error=0.03)


@pytest.mark.parametrize("device", DEVICES)
def test_a_request_gets_the_same_alone_and_among_31_others(device: str) -> None:
    chance, network = random.Random(0), a_network("gpt-tiny", qkv_bias=True)
    requests = [
        Request(
            f"r{number}",
            tuple(chance.randrange(203) for _ in range(chance.choice([1, 4, 20, 60, 90]))),
            SamplingParams(
                max_new_tokens=chance.choice([3, 10, 20]), temperature=chance.choice([0.0, 0.9]), seed=number
            ),
        )
        for number in range(32)
    ]
    ours = a_runner(network, tokens=8192, device=device)
    together = ids_of(Engine(ours, prefill_chunk=48), requests)
    reference = ids_of(Engine(TorchRunner(network, kv_cache_tokens=8192), prefill_chunk=48), requests)
    assert together == reference
    for request in requests[::4]:
        assert ids_of(Engine(ours, prefill_chunk=48), [request])[request.id] == together[request.id]


def ids_of(engine: Engine, requests: list[Request]) -> dict[str, list[int]]:
    ids: dict[str, list[int]] = {request.id: [] for request in requests}

    def note(events: list[Event]) -> None:
        for event in events:
            assert isinstance(event, TokenEvent)
            ids[event.request_id].append(event.token_id)

    for request in requests:
        engine.add(request)
        note(engine.step())
    while engine.has_work:
        note(engine.step())
    engine.check_integrity()
    return ids


def test_linear_layers_get_as_many_rows_for_one_text_as_for_thirty(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[int] = set()
    linear = torch.nn.functional.linear

    def noted(x: Tensor, *rest: Tensor) -> Tensor:
        seen.add(len(x))
        return linear(x, *rest)

    monkeypatch.setattr(torch.nn.functional, "linear", noted)
    ours = a_runner(a_network())
    for count in (1, 5, 30):
        ours.run([Chunk([1], 0, [block], Wanted.LAST) for block in range(count)])
    assert seen == {32}


class Recorder:
    """Records passes as a CUDA graph would: the passes that were asked for, and replays of them."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0

    def __call__(self, work: Work) -> Work:
        self.captured += 1
        output = work().clone()  # a replay puts its numbers where the recording had put them

        def replay() -> Tensor:
            self.replayed += 1
            return output.copy_(work())

        return replay


def test_a_shape_is_recorded_once_and_replayed() -> None:
    network, recorder = a_network(), Recorder()
    ours, reference = a_runner(network, capture=recorder), TorchRunner(network, kv_cache_tokens=2048)
    ids = list(range(1, 151))
    ours.run([Chunk(ids[:100], 0, range(10), Wanted.NONE)])
    reference.run([Chunk(ids[:100], 0, range(160), Wanted.NONE)])
    assert (recorder.captured, recorder.replayed) == (1, 1)
    for at in range(100, 140):
        got = ours.run([Chunk([ids[at]], at, range(10), Wanted.LAST)])
        expected = reference.run([Chunk([ids[at]], at, range(160), Wanted.LAST)])
        assert torch.allclose(got, expected, atol=1e-4)
    assert (recorder.captured, recorder.replayed) == (3, 41)  # one prompt; tokens 101 to 128, and those behind


def test_logits_stay_when_the_same_shape_runs_again() -> None:
    ours = a_runner(a_network(), capture=Recorder())
    first = ours.run([Chunk([1], 0, [0], Wanted.LAST)])
    kept = first.clone()
    second = ours.run([Chunk([2], 0, [1], Wanted.LAST)])
    assert torch.equal(first, kept)
    assert not torch.equal(first, second)


def test_without_memory_what_was_recorded_is_given_back_and_the_request_is_told() -> None:
    captures: list[Work] = []

    def scarce(work: Work) -> Work:
        captures.append(work)
        if len(captures) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return uncaptured(work)

    ours = a_runner(a_network(), capture=scarce)
    one, two = (Chunk([1] * count, 0, [count], Wanted.LAST) for count in (1, 2))
    expected = ours.run([one])
    with pytest.raises(torch.OutOfMemoryError):
        ours.run([two])
    assert torch.equal(ours.run([one]), expected)
    assert len(captures) == 3  # it had been forgotten


def test_a_pass_without_memory_is_gone_when_memory_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else what it had made so far would stay on the device while single requests are tried."""
    made: list[weakref.ref[Tensor]] = []

    def scarce(work: Work) -> Work:
        if made:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return uncaptured(work)

    ours = a_runner(a_network(), capture=scarce)
    head, clear = ours._network.head, ours._graphs.clear

    def noted(hidden: Tensor) -> Tensor:
        logits: Tensor = head(hidden)
        made.append(weakref.ref(logits))
        return logits

    def cleared() -> None:
        assert [held() for held in made] == [None]
        clear()

    monkeypatch.setattr(ours._network, "head", noted)
    monkeypatch.setattr(ours._graphs, "clear", cleared)
    with pytest.raises(torch.OutOfMemoryError):
        ours.run([Chunk([1] * count, 0, [count], Wanted.LAST) for count in (1, 2)])


def test_what_a_runner_holds_is_free_as_soon_as_it_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = a_runner(a_network(), capture=Recorder())
    ours.run([Chunk([1], 0, [0], Wanted.LAST)])
    with monkeypatch.context() as patched, contextlib.suppress(torch.OutOfMemoryError):
        patched.setattr(ours._network, "head", no_memory)
        ours.run([Chunk([1], 0, [0], Wanted.LAST)])
    kept = weakref.ref(ours._kv)
    gc.disable()
    try:
        del ours
        assert kept() is None
    finally:
        gc.enable()


def no_memory(_: Tensor) -> Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_none_wanted_none_given() -> None:
    ours = a_runner(a_network())
    assert ours.run([Chunk([1, 2], 0, [0], Wanted.NONE), Chunk([1], 0, [1], Wanted.NONE)]).shape == (0, 203)


def test_the_budget_is_rounded_up_to_blocks_and_used_to_the_last() -> None:
    network = a_network()
    ours = a_runner(network, tokens=33)
    assert ours.block_count == 3
    ids = list(range(48))
    expected = network(torch.tensor([ids]))[0].detach()
    assert torch.allclose(ours.run([Chunk(ids, 0, [2, 0, 1], Wanted.ALL)]), expected, atol=1e-4)


def test_beyond_the_context_is_refused() -> None:
    with pytest.raises(ContextOverflow):
        a_runner(a_network()).run([Chunk([1], CONTEXT, range(13), Wanted.LAST)])
