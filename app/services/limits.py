"""How much one key, or one address where no key is asked for, may ask of the service in a minute and at once.

What was asked is counted over all web processes where there is Redis, else in this one. Tokens are counted once they
are written, so that the last request of a minute may go beyond.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter

from app.config import Settings
from app.services.limit_store import PREFIX, LimitStore
from app.services.metrics import Metrics
from app.services.stream_slots import StreamSlots

Rate = Literal["requests", "tokens", "wrong_keys"]
Limit = Literal["requests", "tokens", "streams", "wrong_keys", "jobs", "stored_bytes"]
RATED: tuple[Limit, ...] = ("requests", "tokens", "streams")
"""What each request is looked at for; the others: see `quotas`, and `wrong_keys` at the door."""
WINDOW_S = 60
USUAL: dict[Limit, int] = {
    "requests": 1200,
    "tokens": 300_000,
    "streams": 32,
    "wrong_keys": 20,
    "jobs": 16,
    "stored_bytes": 64 * 1024**3,
}
"""What `auto` is where keys are required; where none are, one person's machine is all theirs."""


def allowed(settings: Settings, limit: Limit) -> int:
    """How much the settings allow; 0: any amount."""
    chosen = getattr(settings, f"limit_{limit}")
    if chosen == "auto":
        return USUAL[limit] if settings.keys_required else 0
    return cast(int, chosen)


def is_any_rate_limited(settings: Settings) -> bool:
    """Whether each request is to be looked at."""
    return any(allowed(settings, limit) for limit in RATED)


@dataclass(frozen=True)
class Window:
    """What is left of a rate, and for how many seconds."""

    rate: Rate
    limit: int
    remaining: int
    reset_s: int
    is_over: bool


class Limits:
    """Counts what each `subject` asks. For one event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.metrics = metrics
        self._allowed = {rate: allowed(settings, rate) for rate in get_args(Rate)}
        self._store = LimitStore(settings.broker_url, metrics)
        self.streams = StreamSlots(self._store, allowed(settings, "streams"))
        self._own = FixedWindowRateLimiter(MemoryStorage())
        self._shared: FixedWindowRateLimiter | None = None
        self._spending: set[asyncio.Task[None]] = set()

    async def count(self, rate: Rate, subject: str, cost: int = 1) -> Window | None:
        """Note that it asked; None where there is no such limit."""
        return await self._asked(rate, subject, cost)

    async def look(self, rate: Rate, subject: str) -> Window | None:
        """What is left; over where nothing is."""
        return await self._asked(rate, subject, 0)

    def spend(self, subject: str, tokens: int) -> None:
        """Count tokens that were written, without waiting for it."""
        if self._allowed["tokens"] and tokens:
            self._later(self._spend(subject, tokens))

    async def close(self) -> None:
        if self._spending:
            await asyncio.wait(self._spending)
        await self._store.close()

    async def _spend(self, subject: str, tokens: int) -> None:
        await self.count("tokens", subject, tokens)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._spending.add(task)
        task.add_done_callback(self._spending.discard)

    async def _asked(self, rate: Rate, subject: str, cost: int) -> Window | None:
        amount = self._allowed[rate]
        if not amount:
            return None
        item = RateLimitItemPerSecond(amount, WINDOW_S, namespace=rate)
        return await self._store.ask(
            lambda redis: _window(self._over(redis), item, rate, subject, cost),
            lambda: _window(self._own, item, rate, subject, cost),
        )

    def _over(self, pool: Any) -> FixedWindowRateLimiter:
        if self._shared is None:
            storage: Storage = RedisStorage(
                "async+redis://", implementation="redispy", connection_pool=pool, key_prefix=PREFIX
            )
            self._shared = FixedWindowRateLimiter(storage)
        return self._shared


async def _window(
    counter: FixedWindowRateLimiter, item: RateLimitItemPerSecond, rate: Rate, subject: str, cost: int
) -> Window:
    is_within = await counter.hit(item, subject, cost=cost) if cost else True
    found = await counter.get_window_stats(item, subject)
    is_over = not is_within if cost else found.remaining == 0
    reset_s = max(1, math.ceil(found.reset_time - time.time())) if found.remaining < item.amount else WINDOW_S
    return Window(rate, item.amount, found.remaining, reset_s, is_over)
