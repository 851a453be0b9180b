"""How many answers one key or address may have written to it at once.

A slot is a lease that its process renews: those of a process that was killed are free within a minute.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import BlockingConnectionPool, Redis

from app.errors import RateLimited
from app.services.limit_store import PREFIX, LimitStore

LEASE_S = 60
RENEWED_EVERY_S = 20.0
RETRY_AFTER_S = 2

_TAKE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == false and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
"""Take a slot, or renew one that is held; by Redis' own clock."""


class StreamSlots:
    """At most `most` at once for each subject; 0: any number. For one event loop."""

    def __init__(self, store: LimitStore, most: int) -> None:
        self._store, self._most = store, most
        self._own: dict[str, set[str]] = {}

    @asynccontextmanager
    async def held(self, subject: str) -> AsyncIterator[None]:
        """Within, one slot is taken.

        Raises:
            RateLimited: all are.
        """
        if not self._most:
            yield
            return
        slot = secrets.token_hex(8)
        if not await self._take(subject, slot):
            message = f"{self._most} answers are being written to this key or address, as many as may be at once"
            raise RateLimited(message, retry_after_s=RETRY_AFTER_S)
        renewing = asyncio.ensure_future(self._renew(subject, slot))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.shield(self._give_back(subject, slot))

    async def _renew(self, subject: str, slot: str) -> None:
        while True:
            await asyncio.sleep(RENEWED_EVERY_S)
            await self._take(subject, slot)

    async def _take(self, subject: str, slot: str) -> bool:
        async def shared(pool: BlockingConnectionPool) -> bool:
            took = await Redis(connection_pool=pool).eval(_TAKE, 1, _key(subject), slot, str(self._most), str(LEASE_S))
            return bool(took)

        async def own() -> bool:
            held = self._own.setdefault(subject, set())
            if slot not in held and len(held) >= self._most:
                return False
            held.add(slot)
            return True

        return await self._store.ask(shared, own)

    async def _give_back(self, subject: str, slot: str) -> None:
        """Wherever it was taken: Redis may have come or gone since."""
        held = self._own.get(subject, set())
        held.discard(slot)
        if not held:
            self._own.pop(subject, None)

        async def shared(pool: BlockingConnectionPool) -> None:
            await Redis(connection_pool=pool).zrem(_key(subject), slot)

        async def nothing() -> None:
            return None

        await self._store.ask(shared, nothing)


def _key(subject: str) -> str:
    return f"{PREFIX}:streams:{subject}"
