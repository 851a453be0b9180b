"""One model's place in memory: being loaded, loaded, failed or dead."""

from __future__ import annotations

import asyncio
import math
import time
from concurrent.futures import Future

from app.llm.progress import Progress
from app.services.loaded_model import LoadedModel


class Loading(Future[LoadedModel]):
    """A model that is being brought into memory, or is there."""

    progress: Progress | None = None
    """How far that has come; written by the thread that loads, read by any."""

    def __init__(self, version: str, asked_by: str | None = None, base: str | None = None) -> None:
        """Asked for by a key, None: by who sees all. Of an adapter, `base` is the model that it stands beside."""
        super().__init__()
        self.version, self.base = version, base
        self._seen: dict[str | None, float] = {}
        self.note(asked_by)

    def note(self, who: str | None) -> None:
        """That the name means these weights now, for a key; None: for those who see all."""
        self._seen[who] = time.monotonic()

    def was_seen(self, who: str | None, within_s: float = math.inf) -> bool:
        """Whether that was so, so lately."""
        return who in self._seen and time.monotonic() < self._seen[who] + within_s

    async def ends_within(self, wait_s: float) -> bool:
        """Whether it is loaded, or failed, after so long at most. No thread waits."""
        if not self.done():
            waiting = asyncio.wrap_future(self)
            waiting.add_done_callback(lambda it: it.cancelled() or it.exception())  # heard, whoever still waits
            await asyncio.wait([waiting], timeout=wait_s)
        return self.done()

    def tell(self, progress: Progress) -> None:
        self.progress = progress


def retire(held: Loading | None) -> None:
    """Let the engine of one that was dropped end once it has nothing to do."""
    if held is not None and is_loaded(held):
        held.result().retire()


def is_loaded(loading: Loading) -> bool:
    return loading.done() and loading.exception() is None


def is_idle(loading: Loading) -> bool:
    return is_loaded(loading) and loading.result().is_idle


def is_dead(loading: Loading) -> bool:
    return loading.done() and (loading.exception() is not None or loading.result().loop.is_dead)
