"""Runs claimed jobs, one after the other, each in a child process. Imports no torch and knows no recipe.

The child ends the job itself, in the database; what is done here is for a child that could not.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property

from opentelemetry.trace import Span, SpanKind
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.db.session import Database
from app.log import get_logger
from app.services import devices, leases, tracing
from app.services.devices import Devices
from app.services.hosts import are_there, forget_companions, hosts_of, together
from app.services.leases import Beside, Claim
from app.services.tracing import OFF, Tracing
from workers import launch
from workers.ending import loss
from workers.waiting import Waiting

log = get_logger(__name__)

TRAINER = (sys.executable, "-m", "workers.trainer")


class Supervisor:
    """One slot: claims the best queued job, starts its trainer, waits for it, and so on until nothing is due."""

    def __init__(
        self, settings: Settings, database: Database, command: Sequence[str] = TRAINER, tracing: Tracing = OFF
    ) -> None:
        """Supervise trainers started by `command` with the job's id and the fence appended."""
        self.worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._settings = settings
        self._database = database
        self._command, self._tracing = tuple(command), tracing
        self._hosts = hosts_of(settings)
        self._stopping = threading.Event()
        self._running = False

    @property
    def is_busy(self) -> bool:
        """Whether a trainer is at work."""
        return self._running

    @cached_property
    def _own(self) -> Devices:
        """What this machine trains on; looked for once."""
        return devices.found(self._settings)

    @property
    def devices(self) -> Devices:
        """What jobs may ask for: of this machine, or of several while all of them live."""
        own = self._own
        if self._hosts is None:
            return own
        with self._database.read() as session:
            return together(session, self._hosts, own, self._settings.lease_s)

    def stop(self) -> None:
        """Have the running trainer write a checkpoint and give its job back; claim nothing more."""
        self._stopping.set()

    def run_queued(self) -> None:
        """Run what is queued and due, until nothing is left or `stop` was called."""
        while not self._stopping.is_set():
            beside = None if self._hosts is None else Beside(self._hosts, self._own)
            claim = leases.claim(self._database, self.worker_id, self._settings.lease_s, self.devices, beside)
            if claim is None:
                return
            with self._span(claim):
                self._run(claim)

    def _span(self, claim: Claim) -> AbstractContextManager[Span]:
        named = {"job_id": claim.job_id, "worker_id": self.worker_id}
        numbers = {"attempt": claim.attempt, "fence": claim.fence, "devices": claim.devices}
        return self._tracing.span("attempt", kind=SpanKind.CONSUMER, parent=claim.traceparent, **named, **numbers)

    def _run(self, claim: Claim) -> None:
        log.info("job_claimed", job_id=claim.job_id, fence=claim.fence, attempt=claim.attempt)
        trainer = launch.start(self._command, claim, tracing.traceparent())
        self._running = True
        try:
            status = Waiting(self, claim, trainer).until_it_ended()
        finally:
            self._running = False
            launch.kill(trainer)
            if trainer.stdin:
                trainer.stdin.close()
        self._settle(claim, status)

    def _settle(self, claim: Claim, status: int) -> None:
        """See to a job that its trainer did not end, nor give back."""
        if self._stopping.is_set():  # it was asked to end before it could listen, or could not end in time
            if leases.release(self._database, claim):
                log.info("job_given_back", job_id=claim.job_id)
            return
        self._doubt_companions(claim)
        taken = leases.give_up(self._database, claim, self._settings.job_attempts, loss(status))
        if taken is not None:
            tracing.fail(taken.reason)
            log.warning("trainer_lost", job_id=claim.job_id, exit_status=status, job_status=taken.status)

    def _doubt_companions(self, claim: Claim) -> None:
        """Before the job is queued again: what ended the attempt may be that one of them died."""
        if claim.hosts is not None:
            with self._database.write() as session:
                forget_companions(session, claim.hosts)

    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def holds(self, claim: Claim) -> bool | None:
        """Whether the job is still ours, under a lease that has not run out; None: the database cannot be asked."""
        try:
            return leases.is_renewed(self._database, claim)
        except SQLAlchemyError as error:
            log.error("lease_not_checked", job_id=claim.job_id, error=str(error))
            return None

    def prolong(self, claim: Claim) -> Claim | None:
        """See `leases.prolong`; as it was, where the database cannot be asked."""
        try:
            return leases.prolong(self._database, claim, self._settings.lease_s)
        except SQLAlchemyError as error:
            log.error("lease_not_prolonged", job_id=claim.job_id, error=str(error))
            return claim

    def misses(self, claim: Claim) -> bool:
        """Whether a machine that trains the job beside this one fell silent; no, where the database cannot be asked."""
        if claim.hosts is None:
            return False
        try:
            with self._database.read() as session:
                taking_part = claim.hosts.taking_part(claim.devices)
                return not are_there(session, claim.hosts, taking_part, self._settings.lease_s)
        except SQLAlchemyError as error:
            log.error("hosts_not_looked_for", job_id=claim.job_id, error=str(error))
            return False

    @property
    def check_every_s(self) -> float:
        return self._settings.lease_s / 3
