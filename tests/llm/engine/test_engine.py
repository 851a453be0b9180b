"""The engine: the same tokens alone and in company, memory given back, trouble kept to whom it concerns."""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from app.llm.config import PRESETS, ModelConfig, SamplingParams
from app.llm.engine import engine as engine_module
from app.llm.engine.engine import Engine
from app.llm.engine.request import Event, PromptScored, Request, RequestFailed, TokenEvent
from app.llm.engine.runner import Chunk
from app.llm.engine.sampler import Sampler, draw_all
from app.llm.engine.torch_runner import TorchRunner
from app.llm.errors import ContextOverflow, LLMError, TokenIdOutOfRange
from app.llm.model.kv_cache import KVCache
from app.llm.model.transformer import Transformer

POISON = 96
"""An id whose embedding is NaN."""


def tiny(preset: str = "llama-tiny") -> Transformer:
    torch.manual_seed(0)
    model = Transformer(ModelConfig(**{"vocab_size": 97, **PRESETS[preset], "tied": False})).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # logits that differ, so that temperature and filters have something to do
        model.token_embedding.weight[POISON] = torch.nan
    return model


@pytest.fixture(scope="module")
def model() -> Transformer:
    return tiny()


def a_request(
    name: str = "r", prompt: tuple[int, ...] = (1, 2, 3), stop: tuple[int, ...] = (), **changed: Any
) -> Request:
    return Request(name, prompt, SamplingParams(**{"max_new_tokens": 8, **changed}), frozenset(stop))


def run(engine: Engine, *requests: Request) -> dict[str, list[Event]]:
    """All events by request, until nothing is left to do."""
    for request in requests:
        engine.add(request)
    events: dict[str, list[Event]] = {request.id: [] for request in requests}
    while engine.has_work:
        for event in engine.step():
            events[event.request_id].append(event)
        engine.check_integrity()
    assert (engine.running, engine.waiting, engine.reserved_tokens) == (0, 0, 0)
    return events


def ids_of(events: list[Event]) -> list[int]:
    return [event.token_id for event in events if isinstance(event, TokenEvent)]


@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny"])
@pytest.mark.parametrize("prefill_chunk", [1, 4, 256])
@torch.inference_mode()
def test_greedy_tokens_are_those_of_full_passes(preset: str, prefill_chunk: int) -> None:
    model, prompt = tiny(preset), tuple(range(11))
    engine = Engine(TorchRunner(model, kv_cache_tokens=100), prefill_chunk=prefill_chunk)
    events = run(engine, a_request(prompt=prompt, max_new_tokens=20, temperature=0.0))["r"]
    ids, logprobs = list(prompt), []
    for _ in range(20):
        own = model(torch.tensor([ids]))[0, -1].log_softmax(-1)
        ids.append(int(own.argmax()))
        logprobs.append(float(own.max()))
    assert ids_of(events) == ids[11:]
    assert [event.index for event in events] == list(range(20))
    assert [event.finish_reason for event in events] == [None] * 19 + ["length"]
    assert [event.logprob for event in events] == pytest.approx(logprobs, abs=1e-4)


def test_a_seed_decides(model: Transformer) -> None:
    engine = Engine(TorchRunner(model, kv_cache_tokens=100))
    requests = [a_request(name, seed=seed, max_new_tokens=30) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    events = run(engine, *requests)
    assert ids_of(events["a"]) == ids_of(events["b"]) != ids_of(events["c"])


def test_a_stop_token_ends_a_request_and_is_told(model: Transformer) -> None:
    def greedy(*stop: int, new: int = 8) -> list[Event]:
        request = a_request(temperature=0.0, stop=stop, max_new_tokens=new)
        return run(Engine(TorchRunner(model, kv_cache_tokens=50)), request)["r"]

    free = ids_of(greedy())
    at = next(at for at in range(2, 8) if free[at] not in free[:at])
    stopped = greedy(free[at])
    assert ids_of(stopped) == free[: at + 1]
    assert [event.finish_reason for event in stopped] == [None] * at + ["stop"]
    assert greedy(free[at], new=at + 1)[-1].finish_reason == "stop"  # and not "length"


def random_request(chance: random.Random, number: int) -> Request:
    return a_request(
        f"r{number}",
        tuple(chance.randrange(90) for _ in range(chance.choice([1, 2, 5, 13, 30]))),
        stop=tuple(chance.sample(range(90), 3)),
        max_new_tokens=chance.choice([1, 2, 7, 20]),
        temperature=chance.choice([0.0, 0.7, 1.5]),
        top_k=chance.choice([None, 5]),
        top_p=chance.choice([None, 0.8]),
        min_p=chance.choice([None, 0.05]),
        repetition_penalty=chance.choice([1.0, 1.3]),
        seed=chance.randrange(5),
        top_logprobs=chance.choice([0, 3]),
    )


@pytest.mark.parametrize("seed", range(6))
def test_random_company_changes_nothing_and_leaves_nothing(model: Transformer, seed: int) -> None:
    """Requests come and go at random; each gets the very events that it gets alone, and the books always balance."""
    chance = random.Random(seed)
    engine = Engine(TorchRunner(model, kv_cache_tokens=chance.choice([60, 130])), prefill_chunk=6)
    requests: dict[str, Request] = {}
    events: dict[str, list[Event]] = {}
    aborted: set[str] = set()
    for number in range(70):
        if chance.random() < 0.3:
            request = random_request(chance, number)
            engine.add(request)
            requests[request.id], events[request.id] = request, []
        if chance.random() < 0.1 and requests:
            victim = chance.choice(list(requests))
            engine.abort(victim)
            aborted.add(victim)
        for event in engine.step():
            assert event.request_id not in aborted
            events[event.request_id].append(event)
        engine.check_integrity()
    while engine.has_work:
        for event in engine.step():
            events[event.request_id].append(event)
        engine.check_integrity()
    assert engine.reserved_tokens == 0
    assert len(requests) > 10
    for name, request in requests.items():
        alone = run(Engine(TorchRunner(model, kv_cache_tokens=60), prefill_chunk=6), request)[name]
        if name in aborted:
            alone = alone[: len(events[name])]
        assert events[name] == alone


def test_a_step_reads_no_more_of_prompts_than_a_chunk(model: Transformer) -> None:
    """Many long prompts at once do not keep a running request waiting."""
    passed: list[int] = []

    class Counting(Transformer):
        def hidden(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
            passed.append(ids.size(1))
            return super().hidden(ids, cache)

    counting = Counting(model.config).eval()
    engine = Engine(TorchRunner(counting, kv_cache_tokens=500), prefill_chunk=8)
    engine.add(a_request("first", max_new_tokens=40))
    engine.step()
    for number in range(6):
        engine.add(a_request(f"long{number}", tuple(range(20)), max_new_tokens=2))
    for _ in range(18):
        passed.clear()
        events = engine.step()
        assert "first" in {event.request_id for event in events}
        assert sum(tokens for tokens in passed if tokens > 1) <= 8


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
def test_an_aborted_request_gives_back_what_it_held(model: Transformer, steps: int) -> None:
    """While it waits (0 steps), in its prompt (1, 2), and while it writes (5)."""
    engine = Engine(TorchRunner(model, kv_cache_tokens=40), prefill_chunk=4)
    engine.add(a_request("a", tuple(range(10)), max_new_tokens=30))
    engine.add(a_request("b", max_new_tokens=10))
    for _ in range(steps):
        engine.step()
    engine.abort("a")
    engine.abort("a")
    engine.abort("never there")
    engine.check_integrity()
    assert engine.reserved_tokens == 0
    assert {event.request_id for event in engine.step()} == {"b"}
    engine.abort("b")
    assert not engine.has_work
    assert engine.step() == []
    engine.add(a_request("a", max_new_tokens=1))  # the id is free again


def test_a_request_without_numbers_fails_alone(model: Transformer) -> None:
    good = a_request("good", temperature=0.0)
    alone = run(Engine(TorchRunner(model, kv_cache_tokens=100)), good)["good"]
    engine = Engine(TorchRunner(model, kv_cache_tokens=100))
    events = run(engine, a_request("first"), a_request("bad", (1, POISON, 2)), good)
    assert events["good"] == alone
    assert len(events["first"]) == 8
    (failed,) = events["bad"]
    assert isinstance(failed, RequestFailed)
    assert "NaN or infinity" in failed.message


class Failing(Transformer):
    """Raises `error` on a prompt that begins with 7."""

    error: BaseException

    def hidden(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        hidden = super().hidden(ids, cache)
        if ids[0, 0] == 7:
            raise self.error
        return hidden


@pytest.mark.parametrize("error", [MemoryError("no room"), torch.OutOfMemoryError("no room")])
def test_a_device_without_memory_fails_one_request(model: Transformer, error: BaseException) -> None:
    failing = Failing(model.config).eval()
    failing.error = error
    events = run(Engine(TorchRunner(failing, kv_cache_tokens=100)), a_request("bad", (7, 8)), a_request("good"))
    assert events["bad"] == [RequestFailed("bad", "no room")]
    assert len(events["good"]) == 8


class Scarce(TorchRunner):
    """Has memory for one request at a time, and none for a prompt that begins with 7."""

    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        assert not any(held() is not None for held in self.held), "a pass that failed is still in memory"
        made = torch.empty(1)  # as a pass does until its end
        self.held.append(weakref.ref(made))
        if len(chunks) > 1 or chunks[0].ids[0] == 7:
            raise torch.OutOfMemoryError("no room")
        return super().run(chunks)


def test_a_pass_that_failed_is_gone_when_its_requests_pass_one_by_one(model: Transformer) -> None:
    runner = Scarce(model, kv_cache_tokens=100)
    runner.held = []
    good = [a_request(name, temperature=0.0) for name in "ab"]
    alone = run(Engine(TorchRunner(model, kv_cache_tokens=100)), good[0])["a"]
    gc.disable()
    try:
        events = run(Engine(runner), a_request("bad", (7, 8)), *good)
    finally:
        gc.enable()
    assert events["bad"] == [RequestFailed("bad", "no room")]
    assert ids_of(events["a"]) == ids_of(events["b"]) == ids_of(alone)


class BreakingConstraint:
    """A constraint that allows everything but id 0, and breaks where it is told to."""

    def __init__(self, place: str, error: Exception) -> None:
        self._place, self._error, self._drawn = place, error, 0

    def allowed(self) -> Tensor:
        if self._place == "allowed" and self._drawn == 2:
            raise self._error
        return torch.arange(97) > 0

    def accept(self, token_id: int) -> None:
        self._drawn += 1
        if self._place == "accept" and self._drawn == 2:
            raise self._error


@pytest.mark.parametrize("place", ["allowed", "accept"])
@pytest.mark.parametrize("error", [RuntimeError("a native library's own"), MemoryError("no room")])
def test_a_constraint_that_breaks_fails_one_request(model: Transformer, place: str, error: Exception) -> None:
    healthy = [a_request(f"healthy {seed}", seed=seed) for seed in range(2)]
    alone = [ids_of(run(Engine(TorchRunner(model, kv_cache_tokens=512)), each)[each.id]) for each in healthy]
    broken = replace(a_request("broken"), constraint=BreakingConstraint(place, error))
    events = run(Engine(TorchRunner(model, kv_cache_tokens=512)), healthy[0], broken, healthy[1])
    assert [ids_of(events[each.id]) for each in healthy] == alone
    last = events["broken"][-1]
    assert isinstance(last, RequestFailed)
    assert str(error) in last.message


def test_a_draw_of_all_that_fails_is_made_one_by_one(model: Transformer, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room_for_two(logits: Tensor, samplers: Sequence[Sampler]) -> object:
        if len(samplers) > 1 or samplers[0].params.seed == 1:
            raise MemoryError("no room")
        return draw_all(logits, samplers)

    requests = [a_request(str(seed), seed=seed) for seed in range(3)]
    alone = [ids_of(run(Engine(TorchRunner(model, kv_cache_tokens=512)), each)[each.id]) for each in requests]
    monkeypatch.setattr(engine_module, "draw_all", no_room_for_two)
    events = run(Engine(TorchRunner(model, kv_cache_tokens=512)), *requests)
    assert [ids_of(events[each.id]) for each in requests] == [alone[0], [], alone[2]]
    assert events["1"] == [RequestFailed("1", "no room")]


def test_whatever_else_breaks_is_passed_on_and_the_books_balance(model: Transformer) -> None:
    failing = Failing(model.config).eval()
    failing.error = OSError("a bug")
    engine = Engine(TorchRunner(failing, kv_cache_tokens=100))
    engine.add(a_request("first", max_new_tokens=4))
    engine.add(a_request("bad", (7, 8)))
    engine.add(a_request("last", max_new_tokens=4))
    with pytest.raises(OSError, match="a bug"):
        engine.step()
    engine.check_integrity()
    assert engine.running == 2
    while engine.has_work:
        assert {event.request_id for event in engine.step()} <= {"first", "last"}
        engine.check_integrity()


def test_what_could_never_run_is_refused(model: Transformer) -> None:
    context = model.config.context_length
    engine = Engine(TorchRunner(model, kv_cache_tokens=context + 10))
    small = Engine(TorchRunner(model, kv_cache_tokens=20))
    with pytest.raises(ContextOverflow, match="60 prompt tokens and 5 new ones are more than the context of 64"):
        engine.add(a_request(prompt=(1,) * 60, max_new_tokens=5))
    with pytest.raises(ContextOverflow, match="memory of 20"):
        small.add(a_request(prompt=(1,) * 15, max_new_tokens=6))
    for odd in (97, -1):
        with pytest.raises(TokenIdOutOfRange, match=str(odd)):
            engine.add(a_request(prompt=(1, odd, 2)))
    with pytest.raises(LLMError, match="at least one token"):
        engine.add(a_request(prompt=()))
    assert not engine.has_work
    full = run(engine, a_request(prompt=(1,) * 60, max_new_tokens=4))["r"]
    assert len(full) == 4
    engine.add(a_request())
    with pytest.raises(LLMError, match="'r'"):
        engine.add(a_request())


@pytest.mark.parametrize("new", [0, 3])
def test_a_damaged_models_scores_are_refused(model: Transformer, new: int) -> None:
    """Also where no token is drawn, and where the numbers of a chunk before the last are none."""
    for prompt in ((1, POISON, 2), (POISON, *range(12))):
        engine = Engine(TorchRunner(model, kv_cache_tokens=100), prefill_chunk=4)
        asked = Request("bad", prompt, SamplingParams(max_new_tokens=new), prompt_logprobs=2)
        good = Request("good", (1, 2, 3), SamplingParams(max_new_tokens=0), prompt_logprobs=2)
        events = run(engine, asked, good)
        (failed,) = events["bad"]
        assert isinstance(failed, RequestFailed)
        assert "NaN or infinity" in failed.message
        (scored,) = events["good"]
        assert isinstance(scored, PromptScored)


def test_no_gradients_are_kept(model: Transformer) -> None:
    engine = Engine(TorchRunner(model, kv_cache_tokens=100))
    run(engine, a_request())
    assert all(parameter.requires_grad for parameter in model.parameters())  # the model may still be trained
