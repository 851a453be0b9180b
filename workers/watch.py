"""The trainer's ties to the world, in threads beside the training: lease, cancellation, pause, parent, signals.

Training asks `should_stop` between steps. One that does not end by itself in time is ended hard; the worker, or the
sweep after it, then takes the job back.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from app.db.session import Database
from app.db.tables import job
from app.log import get_logger
from workers.ending import FORCED_EXIT

log = get_logger(__name__)

GRACE_S = {"cancelled": 15.0, "lost": 5.0, "orphaned": 5.0, "stalled": 0.0}
STALL_S = 1800.0  # encoding a large dataset before the first step takes minutes
LEASE_SHARE = 0.8  # of the lease; without a renewal for so long, the job may soon be another's


def end_after_the_worker() -> None:
    """Watch the pipe of standard input for a process that only follows another, and leave signals to that one.

    It ends with the first process of its job; only where that cannot be, some time after the worker, by force.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_after_input, name="stdin", daemon=True).start()


def _end_after_input() -> None:
    while os.read(0, 4096):
        pass
    time.sleep(GRACE_S["orphaned"])
    os._exit(FORCED_EXIT)


class Watch:
    """Renews the lease of one attempt and knows whether, and why, it should stop."""

    def __init__(self, database: Database, job_id: str, fence: int, lease_s: float) -> None:
        self._database = database
        self._job_id = job_id
        self._fence = fence
        self._lease_s = lease_s
        self._reason: str | None = None
        self._timed: set[str] = set()  # reasons for which an end by force is set
        self._asked_at = self._renewed_at = time.monotonic()
        self._ended = threading.Event()

    def start(self) -> bool:
        """Renew the lease once, and from now on; False if the job is not ours (any more)."""
        self._renew()
        if self._reason == "lost":
            return False
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which then sends SIGTERM
        for loop in (self._beat, self._watch_parent):
            threading.Thread(target=loop, name=loop.__name__, daemon=True).start()
        return True

    def should_stop(self) -> str | None:
        """None, or why training is to end: `cancelled`, `paused`, `lost` (another holds the job), `shutdown`."""
        self._asked_at = time.monotonic()
        if self._reason is None and self._is_stale:
            self._renew()
        return self._reason

    @property
    def _is_stale(self) -> bool:
        """The lease may have run out unseen: this process was stopped for a while, or the database hangs."""
        return time.monotonic() - self._renewed_at > LEASE_SHARE * self._lease_s

    def end(self) -> None:
        """The attempt is over: renew no more, and end nothing by force."""
        self._ended.set()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._reason in (None, "paused"):
            self._reason = "shutdown"  # the time limit for it is the worker's

    def _beat(self) -> None:
        while not self._ended.wait(self._lease_s / 6):
            self._renew()
            if time.monotonic() - self._asked_at > STALL_S:
                log.error("training_stalled", job_id=self._job_id)
                self._stop("shutdown", GRACE_S["stalled"])

    def _renew(self) -> None:
        try:
            with self._database.write() as session:
                lease = job.renew(session, self._job_id, self._fence, self._lease_s)
        except SQLAlchemyError as error:
            log.warning("lease_not_renewed", job_id=self._job_id, error=str(error))
            if self._is_stale:
                self._stop("lost", GRACE_S["lost"])
            return
        self._renewed_at = time.monotonic()
        if lease is None:
            self._stop("lost", GRACE_S["lost"])
        elif lease.cancel_requested:
            # A model that is to be kept is read and written whole, which takes as long as it takes.
            self._stop("cancelled", None if lease.keep_model else GRACE_S["cancelled"])
        elif lease.pause_requested:
            self._reason = self._reason or "paused"  # no hurry: the checkpoint may take as long as it takes
        elif self._reason == "paused":
            self._reason = None  # it is to go on after all; a trainer that has stopped already gives it back

    def _watch_parent(self) -> None:
        """Standard input is a pipe from the worker; it ends when the worker does, kill -9 included."""
        while os.read(0, 4096):
            pass
        if not self._ended.is_set():
            log.warning("worker_gone", job_id=self._job_id)
            self._stop("shutdown", GRACE_S["orphaned"])

    def _stop(self, reason: str, grace_s: float | None) -> None:
        """Have training end for this reason, unless there is one that counts more; by force after the grace."""
        if self._reason in (None, "paused") or reason == "lost":
            self._reason = reason
        if grace_s is None or reason in self._timed or (self._timed and reason != "lost"):
            return
        self._timed.add(reason)
        force = threading.Timer(grace_s, self._force)
        force.daemon = True
        force.start()

    def _force(self) -> None:
        if not self._ended.is_set():
            log.error("trainer_forced_to_end", job_id=self._job_id, reason=self._reason)
            os._exit(FORCED_EXIT)
