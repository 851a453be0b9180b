"""Work that goes on beside the requests, each in a thread of its own, and has a while to end when the process does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from weakref import WeakSet

CLOSE_S = 10.0


class Background:
    """Threads by name.

    Those still at work when the interpreter ends are cut off wherever they are; in the midst of PyTorch that ends the
    process by abort. So whoever starts them waits for them.
    """

    def __init__(self) -> None:
        self._threads: WeakSet[threading.Thread] = WeakSet()  # Python itself holds those that are alive

    def begin(self, name: str, work: Callable[..., None], *given: object) -> None:
        """Do `work` in a thread of this name, from now on."""
        thread = threading.Thread(target=work, args=given, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def close(self, within_s: float = CLOSE_S) -> None:
        """Wait for all that was begun, also by one another, for so many seconds in all."""
        until = time.monotonic() + within_s
        while (left := until - time.monotonic()) > 0 and (running := self._one_that_runs()):
            running.join(left)

    def _one_that_runs(self) -> threading.Thread | None:
        return next((thread for thread in list(self._threads) if thread.is_alive()), None)
