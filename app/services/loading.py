"""One model's place in memory: being loaded, loaded, failed or dead."""

from __future__ import annotations

import time
from concurrent.futures import Future

from app.llm.progress import Progress
from app.services.loaded_model import LoadedModel


class Loading(Future[LoadedModel]):
    """A model that is being brought into memory, or is there."""

    progress: Progress | None = None
    """How far that has come; written by the thread that loads, read by any."""

    def __init__(self, version: str, base: str | None = None) -> None:
        """Of an adapter, `base` is the model that it stands beside."""
        super().__init__()
        self.version, self.base = version, base
        self.seen_at = time.monotonic()  # when the name was last known to mean these weights

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
