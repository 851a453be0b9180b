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

    def holds(self, claim: Claim) -> bool | None: ...

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
        self._held_at = time.monotonic()  # when it was last seen to hold the job
        self._lost_at: float | None = None  # since when it does not
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
            self._lost_at = (self._lost_at or now) if self._is_lost(now) else None
        if now >= self._kill_at or (self._lost_at is not None and now >= self._lost_at + LOST_GRACE_S):
            launch.kill(self._trainer)

    def _is_lost(self, now: float) -> bool:
        """Whether the job is not the trainer's any more, or nobody can say so for longer than a lease.

        A trainer that was stopped in the midst of a write keeps SQLite from everyone, this worker's reading included,
        until it is killed. One that is well ends by itself before, as it cannot renew its lease.
        """
        held = self._holder.holds(self._claim)
        if held:
            self._held_at = now
        silent = now - self._held_at > 3 * self._holder.check_every_s
        return held is False or silent or self._holder.misses(self._claim)
