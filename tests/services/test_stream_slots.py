"""Answers written at once: as many as may be, over all processes, and none lost when a process is killed."""

from __future__ import annotations

import anyio
import pytest

from app.errors import RateLimited
from app.services import stream_slots
from app.services.limit_store import LimitStore
from app.services.metrics import Metrics
from app.services.stream_slots import StreamSlots


def made(redis_url: str = "", most: int = 2) -> StreamSlots:
    return StreamSlots(LimitStore(redis_url, Metrics()), most)


async def check(one: StreamSlots, two: StreamSlots) -> None:
    async with one.held("a"):
        async with two.held("a"):
            for full in (one, two):
                with pytest.raises(RateLimited):
                    async with full.held("a"):
                        pytest.fail("there was no slot")
            async with one.held("b"):
                pass
        async with one.held("a"):
            pass


def test_in_one_process() -> None:
    slots = made()
    anyio.run(check, slots, slots)
    assert slots._own == {}


def test_without_a_limit_there_are_as_many_as_are_asked_for() -> None:
    async def work() -> None:
        slots = made(most=0)
        async with slots.held("a"), slots.held("a"), slots.held("a"):
            assert slots._own == {}

    anyio.run(work)


def test_a_slot_is_given_back_whatever_happens() -> None:
    async def work() -> None:
        slots = made(most=1)
        with pytest.raises(ZeroDivisionError):
            async with slots.held("a"):
                raise ZeroDivisionError
        with anyio.move_on_after(0.05):
            async with slots.held("a"):
                await anyio.sleep(5)
        async with slots.held("a"):
            pass

    anyio.run(work)


@pytest.mark.services
def test_over_redis(redis_url: str) -> None:
    async def work() -> None:
        one, two = made(redis_url), made(redis_url)
        await check(one, two)
        await one._store.close()
        await two._store.close()

    anyio.run(work)


@pytest.mark.services
def test_those_of_a_killed_process_are_free_soon_and_held_ones_stay(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_slots, "LEASE_S", 2)
    monkeypatch.setattr(stream_slots, "RENEWED_EVERY_S", 0.5)

    async def work() -> None:
        killed, living = made(redis_url, most=1), made(redis_url, most=1)
        assert await killed._take("a", "slot")  # by a process that will neither renew it nor give it back
        with pytest.raises(RateLimited):
            async with living.held("a"):
                pytest.fail("it is held")
        await anyio.sleep(3.1)
        async with living.held("a"):
            await anyio.sleep(3.1)
            assert not await killed._take("a", "another")
        await killed._store.close()
        await living._store.close()

    anyio.run(work)
