"""The waiting for one trainer, which may have to be asked, and then made, to end. Imports no torch."""

from __future__ import annotations

import subprocess
import time
from typing import Protocol

from app.services.leases import Claim
from workers import launch
from workers.launch import SHUTDOWN_GRACE_S

POLL_S = 0.2
START_S = 300.0  # for a trainer to be heard of; a cold disk and a busy machine take minutes to read Python's files
LOST_GRACE_S = 10.0  # for a child whose job is no longer its own to end by itself


class Holder(Protocol):
    """Who waits: what is known of the job and of this worker."""

    @property
    def check_every_s(self) -> float: ...

    def is_stopping(self) -> bool: ...

    def holds(self, claim: Claim) -> bool: ...

    def misses(self, claim: Claim) -> bool: ...

    def prolong(self, claim: Claim) -> Claim | None: ...


class Waiting:
    """One trainer's."""

    def __init__(self, holder: Holder, claim: Claim, trainer: subprocess.Popen[bytes]) -> None:
        self._holder = holder
        self._claim = claim
        self._trainer = trainer
        self._unheard: Claim | None = claim  # its lease is ours to renew until the trainer does it
        self._unheard_until = time.monotonic() + START_S
        self._check_at = time.monotonic() + holder.check_every_s
        self._kill_at = float("inf")
        self._is_asked = False

    def until_it_ended(self) -> int:
        """The trainer's exit status; negative: the signal that ended it."""
        while True:
            try:
                return self._trainer.wait(POLL_S)
            except subprocess.TimeoutExpired:
                self._look()

    def _look(self) -> None:
        now = time.monotonic()
        if self._holder.is_stopping() and not self._is_asked:
            self._is_asked = True
            self._trainer.terminate()
            self._kill_at = min(self._kill_at, now + SHUTDOWN_GRACE_S)
        if now >= self._check_at:
            self._check_at = now + self._holder.check_every_s
            if self._unheard is not None and now < self._unheard_until:
                self._unheard = self._holder.prolong(self._unheard)
            if not self._holder.holds(self._claim) or self._holder.misses(self._claim):
                self._kill_at = min(self._kill_at, now + LOST_GRACE_S)
        if now >= self._kill_at:
            launch.kill(self._trainer)
