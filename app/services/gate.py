"""One device, one computation at a time: whoever waits longest goes next. Knows nothing of what is computed."""

from __future__ import annotations

import threading
from collections import deque


class ComputeGate:
    """A lock that is handed on in the order of asking.

    A plain lock goes to whoever asks at the right moment, which is the thread that has just let go: an engine
    that steps in a loop would keep all others out.
    """

    def __init__(self) -> None:
        self._books = threading.Lock()
        self._is_taken = False
        self._turns: deque[threading.Event] = deque()

    def __enter__(self) -> None:
        with self._books:
            if not self._is_taken:
                self._is_taken = True
                return
            turn = threading.Event()
            self._turns.append(turn)
        turn.wait()

    def __exit__(self, *_: object) -> None:
        with self._books:
            if self._turns:
                self._turns.popleft().set()  # stays taken, by the next
            else:
                self._is_taken = False
