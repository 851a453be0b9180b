"""A loaded model's network in float32, lent to what computes with it beside the engine.

Where the engine has packed weights of its own, nothing keeps the network for long: it is read again when it is asked
for, by one thread while the others wait, and let go of after a minute without a user, or sooner where room is needed.
Knows no file and no other model.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from app.services import memory

Network = TypeVar("Network")

KEPT_S = 60.0
"""So long it is kept without a user: somebody who looks at a model's inside asks again after seconds."""


class FloatNetwork(Generic[Network]):
    """The network, or the way to it. Safe to use from any thread."""

    def __init__(
        self,
        read: Callable[[], Network],
        make_room: Callable[[], None],
        *,
        network: Network | None = None,
        kept_s: float = KEPT_S,
    ) -> None:
        """Know how to get the network.

        Args:
            read: reads it. Called by one thread at a time, while nothing here is locked that others wait for.
            make_room: called before that; counts what it takes as `read_back_bytes`, or refuses.
            network: given where it stays for good, because it is needed anyway or costs nothing.
            kept_s: for so long it is kept without a user, once it was read.
        """
        self._read, self._make_room, self._kept_s = read, make_room, kept_s
        self._stays = network is not None
        self._reading = threading.Lock()  # held while it is read
        self._books = threading.Lock()  # guards what follows; nothing else is waited for while it is held
        self._network = network
        self._users = 0
        self._used_at = 0.0
        self._timer: threading.Timer | None = None
        self._is_closed = False
        self.read_back_bytes = 0
        """Of the weights that were read again; set by who counts all models' bytes."""

    @property
    def stays(self) -> bool:
        """It is there for good, and never read again."""
        return self._stays

    @property
    def is_lent(self) -> bool:
        """Somebody computes with it, or waits for it."""
        return self._users > 0

    @contextmanager
    def lent(self) -> Iterator[Network]:
        """The network, read if need be, which takes a second: not for the event loop, and not while a gate is held.

        Raises:
            AppError: what `read` and `make_room` refuse.
        """
        with self._books:
            self._users += 1
        try:
            yield self._there()
        finally:
            self._taken_back()

    def let_go(self) -> None:
        """Forget it, unless it stays for good or somebody has it."""
        with self._books:
            self._forget()

    def close(self) -> None:
        """Keep it no longer than its users do. Who asks for it all the same is still given it."""
        with self._books:
            self._is_closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._forget()

    def _there(self) -> Network:
        with self._reading:
            if self._network is None:  # nobody sets it but here, or takes it away while it has a user
                try:
                    self._make_room()
                    self._network = self._read()
                except BaseException:
                    self.read_back_bytes = 0
                    raise
            return self._network

    def _taken_back(self) -> None:
        with self._books:
            self._users -= 1
            self._used_at = time.monotonic()
            if self._is_closed:
                self._forget()
            elif self._network is not None and not self._stays and self._timer is None:
                self._wake_after(self._kept_s)

    def _wake_after(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        """Let go of it if nobody used it for long enough, else look again later."""
        with self._books:
            self._timer = None
            left = self._used_at + self._kept_s - time.monotonic()
            if self._users or self._is_closed:  # who has it brings it back
                return
            if left > 0:
                self._wake_after(left)
                return
            self._forget()
        memory.give_back()

    def _forget(self) -> None:
        """The books are held."""
        if not self._users and not self._stays:
            self._network, self.read_back_bytes = None, 0
