"""Has the texts of jobs in `validating_files` read: a thread of the worker beside its trainer, a child for each job.

The lease is the worker's: while the child lives it is renewed, and where both die the sweep takes the job back.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from opentelemetry.trace import SpanKind
from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.db.session import Database
from app.log import get_logger
from app.services import tracing, validation_leases
from app.services.leases import Claim
from app.services.tracing import OFF, Tracing

log = get_logger(__name__)

COMMAND = (sys.executable, "-m", "workers.validator")
LOOK_EVERY_S = 1.0
POLL_S = 0.2


class Validation:
    """One reader: takes the next job whose texts are to be read, has them read, and so on."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        worker_id: str,
        command: Sequence[str] = COMMAND,
        tracing: Tracing = OFF,
    ) -> None:
        """Read for `worker_id`, by processes of `command` with the job's id and the fence appended."""
        self._settings = settings
        self._database = database
        self._worker_id = worker_id
        self._command, self._tracing = tuple(command), tracing

    def run(self, stopping: threading.Event) -> None:
        """Look for jobs until `stopping` is set. A database that is away for a while is waited for."""
        while not stopping.is_set():
            try:
                found = self.look(stopping)
            except (SQLAlchemyError, OSError) as error:
                log.error("validation_failed", error=str(error))
                found = False
            if not found:
                stopping.wait(LOOK_EVERY_S)

    def look(self, stopping: threading.Event) -> bool:
        """Have one job's texts read; False where none waits for that."""
        held = validation_leases.claim(self._database, self._worker_id, self._settings.lease_s)
        if held is None:
            return False
        with self._tracing.span("texts", kind=SpanKind.CONSUMER, parent=held.traceparent, job_id=held.job_id):
            self._read(held, stopping)
        return True

    def _read(self, held: Claim, stopping: threading.Event) -> None:
        log.info("texts_to_be_read", job_id=held.job_id, fence=held.fence)
        child = subprocess.Popen(
            [*self._command, held.job_id, str(held.fence)], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            self._wait(child, held, stopping)
        finally:
            child.kill()
            child.wait()
            if child.stdin:
                child.stdin.close()
        if stopping.is_set():
            validation_leases.release(self._database, held)
        elif child.returncode != 0:
            tracing.fail("texts_not_read")
            log.warning("texts_not_read", job_id=held.job_id, exit_status=child.returncode)

    def _wait(self, child: subprocess.Popen[bytes], held: Claim, stopping: threading.Event) -> None:
        """Until it ended, is to end, or works for a job that is not ours any more: cancelled, deleted, another's."""
        renew_at = time.monotonic() + self._settings.lease_s / 3
        while not stopping.is_set():
            try:
                child.wait(POLL_S)
                return
            except subprocess.TimeoutExpired:
                if time.monotonic() < renew_at:
                    continue
            try:
                if not validation_leases.renew(self._database, held, self._settings.lease_s):
                    return
            except SQLAlchemyError as error:  # it may be back before the lease is over
                log.warning("lease_not_renewed", job_id=held.job_id, error=str(error))
            renew_at = time.monotonic() + self._settings.lease_s / 3
