"""The thread that drives an engine: streams, aborts, full queues, and what happens when it breaks."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from app.errors import NotReady, QueueFull
from app.llm.config import SamplingParams
from app.llm.engine.engine import Engine
from app.llm.engine.request import Request
from app.llm.errors import LLMError
from app.services import engine_loop
from app.services.engine_loop import EngineLoop, EventStream, GenerationFailed
from app.services.gate import ComputeGate
from tests.fakes import IM_END, ScriptedModel, ScriptedRunner, eventually


def a_request(name: str, new_tokens: int = 8) -> Request:
    return Request(name, (1, 2, 3), SamplingParams(new_tokens, temperature=0.0), frozenset({IM_END}))


def a_loop(model: ScriptedModel | None = None, *, max_queued: int = 64, kv_cache_tokens: int = 4096) -> EngineLoop:
    engine = Engine(ScriptedRunner(model or ScriptedModel("hello"), kv_cache_tokens=kv_cache_tokens))
    return EngineLoop(engine, ComputeGate(), max_queued)


async def read(stream: EventStream, requests: int = 1) -> dict[str, list[int]]:
    """Token ids of each request, once all have ended; None from the engine ends it, too."""
    ids: dict[str, list[int]] = {}
    ended = 0
    while ended < requests and (events := await stream.next()) is not None:
        for event in events:
            ids.setdefault(event.request_id, []).append(event.token_id)
            ended += event.finish_reason is not None
    return ids


def is_empty(loop: EngineLoop) -> Callable[[], bool]:
    return lambda: loop.is_idle and loop.running == 0 and loop.waiting == 0


def test_events_come_in_order_to_the_stream_of_their_group():
    loop = a_loop()

    async def both() -> list[dict[str, list[int]]]:
        pair, single = loop.submit([a_request("a"), a_request("b")]), loop.submit([a_request("c", 3)])
        return await asyncio.gather(read(pair, 2), read(single))

    pair, single = asyncio.run(both())
    assert pair == {"a": [*b"hello", IM_END], "b": [*b"hello", IM_END]}
    assert single == {"c": [*b"hel"]}
    eventually(is_empty(loop))
    loop.close()


def test_streams_of_several_event_loops_share_an_engine():
    loop, results = a_loop(), []

    async def one(name: str) -> dict[str, list[int]]:
        return await read(loop.submit([a_request(name)]))

    threads = [threading.Thread(target=lambda n=str(n): results.append(asyncio.run(one(n)))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(next(iter(result)) for result in results) == ["0", "1", "2", "3"]
    assert all(list(result.values()) == [[*b"hello", IM_END]] for result in results)
    loop.close()


def test_an_abort_gives_the_memory_back_and_leaves_the_others_alone():
    loop = a_loop(ScriptedModel("x" * 400, pass_s=0.002))

    async def scenario() -> dict[str, list[int]]:
        gone, stays = loop.submit([a_request("gone", 400)]), loop.submit([a_request("stays", 30)])
        await gone.next()
        loop.abort(["gone", "never heard of"])
        await asyncio.to_thread(eventually, lambda: loop.running == 1, 1.0)
        return await read(stays)

    assert asyncio.run(scenario()) == {"stays": [*b"x"] * 30}
    eventually(is_empty(loop))
    loop.close()


def test_an_abort_of_a_request_that_waits():
    loop = a_loop(ScriptedModel("x" * 400, pass_s=0.002), kv_cache_tokens=200)

    async def scenario() -> None:
        running, waiting = loop.submit([a_request("running", 150)]), loop.submit([a_request("waiting", 150)])
        await running.next()
        assert (loop.running, loop.waiting) == (1, 1)
        loop.abort(["waiting"])
        assert (loop.running, loop.waiting) == (1, 0)
        assert len((await read(running))["running"]) == 149  # the first was read above
        assert waiting._items.empty()

    asyncio.run(scenario())
    eventually(is_empty(loop))
    loop.close()


def test_a_full_queue_takes_all_of_a_group_or_none():
    loop = a_loop(ScriptedModel("x" * 400, pass_s=0.002), max_queued=3, kv_cache_tokens=200)

    async def scenario() -> None:
        running = loop.submit([a_request("running", 190)])
        await running.next()
        loop.submit([a_request("w1", 190), a_request("w2", 190)])
        with pytest.raises(QueueFull, match="2 requests are waiting") as refusal:
            loop.submit([a_request("w3", 190), a_request("w4", 190)])
        assert refusal.value.retry_after_s >= 1
        assert loop.waiting == 2
        loop.submit([a_request("w3", 190)])
        with pytest.raises(QueueFull):
            loop.check_room(1)

    asyncio.run(scenario())
    loop.close()
    assert is_empty(loop)()


def test_what_breaks_for_one_request_ends_that_one():
    def break_one(number: int) -> None:
        assert both.wait(60)
        if number == 2 and next(breaks, None):
            raise LLMError("the logits are no distribution")

    breaks = iter([True, True])  # in the pass of all, and again by itself
    both = threading.Event()  # are there before the first has come so far
    loop = a_loop(ScriptedModel("hello", before_pass=break_one))

    async def scenario() -> dict[str, list[int]]:
        broken, whole = loop.submit([a_request("broken")]), loop.submit([a_request("whole")])
        both.set()
        with pytest.raises(GenerationFailed, match="no distribution"):
            await read(broken)
        return await read(whole)

    assert asyncio.run(scenario()) == {"whole": [*b"hello", IM_END]}
    eventually(is_empty(loop))
    loop.close()


def test_a_step_that_breaks_ends_all_and_the_engine_goes_on():
    def break_once(number: int) -> None:
        assert both.wait(60)
        if number == 2 and next(breaks, None):
            raise OSError("the device is on fire")

    breaks = iter([True, True])  # in the pass of all, and again by itself
    both = threading.Event()
    loop = a_loop(ScriptedModel("hello", before_pass=break_once))

    async def scenario() -> dict[str, list[int]]:
        streams = [loop.submit([a_request(name)]) for name in "ab"]
        both.set()
        for stream in streams:
            with pytest.raises(GenerationFailed, match="the log says why"):
                await read(stream)
        assert not loop.is_dead
        return await read(loop.submit([a_request("c")]))

    assert asyncio.run(scenario()) == {"c": [*b"hello", IM_END]}
    loop.close()


def test_an_engine_whose_books_are_wrong_takes_no_more():
    class Broken(Engine):
        def check_integrity(self) -> None:
            raise AssertionError("the books are wrong")

    def fail(number: int) -> None:
        raise OSError("broken")

    deaths = []
    engine = Broken(ScriptedRunner(ScriptedModel(before_pass=fail), kv_cache_tokens=100))
    loop = EngineLoop(engine, ComputeGate(), 8, on_death=lambda: deaths.append(1))

    async def scenario() -> None:
        with pytest.raises(GenerationFailed):
            await read(loop.submit([a_request("a")]))
        eventually(lambda: deaths == [1])
        assert loop.is_dead
        with pytest.raises(NotReady):
            loop.submit([a_request("b")])

    asyncio.run(scenario())


def test_a_thread_that_cannot_be_prepared_ends_what_waits_for_it():
    def fail() -> None:
        raise RuntimeError("can't start new thread")

    deaths = []
    engine = Engine(ScriptedRunner(ScriptedModel(), kv_cache_tokens=100))
    loop = EngineLoop(engine, ComputeGate(), 8, on_start=fail, on_death=lambda: deaths.append(1))

    async def scenario() -> None:
        with pytest.raises(GenerationFailed, match="the log says why"):
            await asyncio.wait_for(read(loop.submit([a_request("a")])), 5)
        eventually(lambda: deaths == [1])
        assert loop.is_dead
        with pytest.raises(NotReady):
            loop.submit([a_request("b")])

    asyncio.run(scenario())


def test_a_thread_that_cannot_be_started_leaves_nobody_waiting(monkeypatch):
    def fail(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    loop = a_loop()

    async def scenario() -> dict[str, list[int]]:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError):
                loop.submit([a_request("a")])
        assert loop.is_idle
        return await asyncio.wait_for(read(loop.submit([a_request("b")])), 5)

    assert asyncio.run(scenario()) == {"b": [*b"hello", IM_END]}
    loop.close()


def test_closing_ends_every_stream():
    loop = a_loop(ScriptedModel("x" * 400, pass_s=0.002), kv_cache_tokens=450)

    async def scenario() -> None:
        streams = [loop.submit([a_request(name, 400)]) for name in "ab"]
        await streams[0].next()
        await asyncio.to_thread(loop.close)
        for stream in streams:
            while await stream.next() is not None:
                pass

    asyncio.run(scenario())
    assert is_empty(loop)()


def test_a_retired_loop_has_no_thread_and_still_works():
    loop = a_loop()

    def threads() -> int:
        return sum(thread.name.startswith("engine") for thread in threading.enumerate())

    async def once() -> dict[str, list[int]]:
        return await read(loop.submit([a_request("a")]))

    before = threads()
    asyncio.run(once())
    assert threads() == before + 1
    loop.retire()
    eventually(lambda: threads() == before)
    assert asyncio.run(once()) == {"a": [*b"hello", IM_END]}
    eventually(lambda: threads() == before)


def test_a_reader_that_is_too_far_behind_is_given_up(monkeypatch):
    monkeypatch.setattr(engine_loop, "MAX_UNREAD_EVENTS", 10)
    loop = a_loop(ScriptedModel("x" * 400))

    async def scenario() -> None:
        stream = loop.submit([a_request("slow", 400)])
        await asyncio.to_thread(eventually, is_empty(loop))
        with pytest.raises(GenerationFailed, match="not read"):
            await read(stream)

    asyncio.run(scenario())
    loop.close()


def test_a_closed_event_loop_is_nobody():
    loop = a_loop(ScriptedModel("x" * 400, pass_s=0.005))

    async def leave() -> None:
        await loop.submit([a_request("a", 400)]).next()

    asyncio.run(leave())
    eventually(is_empty(loop), 1.0)
    loop.close()


def test_many_requests_that_come_and_go_leave_nothing_behind():
    loop = a_loop(ScriptedModel("hello", pass_s=0.0005), kv_cache_tokens=60)

    async def one(number: int) -> None:
        stream = loop.submit([a_request(f"{number}-{part}", 4 + number % 3) for part in range(1 + number % 3)])
        if number % 4 == 0:
            await asyncio.sleep(0.002 * (number % 5))
            loop.abort([f"{number}-{part}" for part in range(3)])
        else:
            assert len(await read(stream, 1 + number % 3)) == 1 + number % 3

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(30)))

    asyncio.run(all_of_them())
    eventually(is_empty(loop))
    loop._engine.check_integrity()
    loop.close()
