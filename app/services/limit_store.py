"""Where web processes count together: Redis, where there is one; while it is away, each counts by itself.

To refuse everybody because a counter is away would make Redis a part that answers rest on, which it is nowhere else; to
let everybody pass would lift the limits when the service is in trouble anyway. Counting alone allows at most as many
times the limit as there are processes.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool
from redis.exceptions import RedisError

from app.log import get_logger
from app.services.metrics import Metrics

log = get_logger(__name__)

PREFIX = "inkling:limits"
SCHEMES = ("redis://", "rediss://", "unix://")
TIMEOUT_S = 1.0
LEFT_ALONE_S = 5.0
"""For how long a Redis that failed is not asked again, so that not every request waits for it in vain."""
CONNECTIONS = 16

Found = TypeVar("Found")


class LimitStore:
    """Asks Redis, or this process where that is not there."""

    def __init__(self, broker_url: str, metrics: Metrics) -> None:
        self._metrics = metrics
        self._alone_until = 0.0
        self._pool: BlockingConnectionPool | None = None
        if broker_url.startswith(SCHEMES):
            self._pool = BlockingConnectionPool.from_url(
                broker_url,
                max_connections=CONNECTIONS,
                timeout=TIMEOUT_S,
                socket_timeout=TIMEOUT_S,
                socket_connect_timeout=TIMEOUT_S,
            )

    async def ask(
        self,
        shared: Callable[[BlockingConnectionPool], Awaitable[Found]],
        own: Callable[[], Awaitable[Found]],
    ) -> Found:
        """What `shared` finds in Redis; what `own` finds where that is not there, or away."""
        if self._pool is not None and time.monotonic() >= self._alone_until:
            try:
                return await shared(self._pool)
            except (RedisError, OSError, TimeoutError) as error:
                self._alone_until = time.monotonic() + LEFT_ALONE_S
                self._metrics.limit_store_errors.inc()
                log.warning("limits_counted_alone", error=f"{type(error).__name__}: {error}"[:500])
        return await own()

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.aclose()
