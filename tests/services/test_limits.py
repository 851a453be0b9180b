"""Rates counted in one process, and by several over Redis; and what happens while Redis is away."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable

import anyio
import pytest
from structlog.testing import capture_logs

from app.config import Settings
from app.services import limits
from app.services.limits import USUAL, Limits, allowed, is_any_rate_limited
from app.services.metrics import Metrics


def run(work: Callable[[], Awaitable[None]]) -> None:
    async def both() -> None:
        await work()

    anyio.run(both)


def made(settings: Settings, **fields: object) -> Limits:
    return Limits(settings.model_copy(update=fields), Metrics())


def test_one_persons_machine_has_no_limits_and_a_shared_one_has(settings: Settings) -> None:
    shared = settings.model_copy(update={"require_keys": "true"})
    for limit, usual in USUAL.items():
        assert (allowed(settings, limit), allowed(shared, limit)) == (0, usual)
    chosen = settings.model_copy(update={"limit_requests": 7})
    assert allowed(chosen, "requests") == 7
    assert [is_any_rate_limited(each) for each in (settings, shared, chosen)] == [False, True, True]


def test_a_rate_is_counted_for_each_by_itself(settings: Settings) -> None:
    async def work() -> None:
        counting = made(settings, limit_requests=2)
        found = [await counting.count("requests", "key:a") for _ in range(3)]
        assert [(each.remaining, each.is_over) for each in found if each] == [(1, False), (0, False), (0, True)]
        assert all(each and 0 < each.reset_s <= limits.WINDOW_S for each in found)
        other = await counting.count("requests", "key:b")
        assert other
        assert not other.is_over
        assert await counting.count("tokens", "key:a") is None

    run(work)


def test_a_minute_later_all_is_as_before(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW_S", 1)

    async def work() -> None:
        counting = made(settings, limit_requests=1)
        assert not (await counting.count("requests", "a")).is_over
        assert (await counting.count("requests", "a")).is_over
        await anyio.sleep(1.1)
        assert not (await counting.count("requests", "a")).is_over

    run(work)


def test_tokens_are_counted_once_they_are_written(settings: Settings) -> None:
    async def work() -> None:
        counting = made(settings, limit_tokens=100)
        assert not (await counting.look("tokens", "a")).is_over
        counting.spend("a", 90)
        await counting.close()
        left = await counting.look("tokens", "a")
        assert (left.remaining, left.is_over) == (10, False)
        counting.spend("a", 500)  # the last one may go beyond
        await counting.close()
        left = await counting.look("tokens", "a")
        assert (left.remaining, left.is_over) == (0, True)

    run(work)


@pytest.mark.services
def test_processes_count_together_over_redis(settings: Settings, redis_url: str) -> None:
    async def work() -> None:
        one, two = (made(settings, limit_requests=3, limit_tokens=10, broker_url=redis_url) for _ in range(2))
        found = [await each.count("requests", "key:a") for each in (one, two, one, two)]
        assert [each.is_over for each in found] == [False, False, False, True]
        one.spend("key:a", 12)
        await one.close()
        assert (await two.look("tokens", "key:a")).is_over
        await two.close()

    run(work)


def test_while_redis_is_away_each_process_counts_alone(settings: Settings) -> None:
    """Nobody is let through without a count, nobody is refused for it, and nobody waits for it again and again."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:  # takes connections, and says nothing
        url = f"redis://127.0.0.1:{deaf.getsockname()[1]}/0"

        async def work() -> None:
            counting = made(settings, limit_requests=2, broker_url=url)
            started = time.monotonic()
            found = [await counting.count("requests", "a") for _ in range(3)]
            assert [each.is_over for each in found] == [False, False, True]
            assert time.monotonic() - started < 4
            assert counting.metrics.limit_store_errors._value.get() == 1
            await counting.close()

        with capture_logs() as lines:
            run(work)
    assert [line["event"] for line in lines] == ["limits_counted_alone"]
