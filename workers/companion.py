"""A worker of the second and further machines of a group: `python -m workers.companion`, by `inkling worker`.

It claims nothing and hears of no nudge. While the first machine's worker holds a job that is for all of them, it runs
its share of the job's processes; whatever becomes of the job is decided there. Imports no torch.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings, get_settings
from app.db.migrate import migrate_once_there
from app.db.session import Database
from app.log import configure_logging, get_logger
from app.services import leases
from app.services.hosts import Hosts, hosts_of
from app.services.leases import Claim
from app.services.presence import Presence
from workers import launch
from workers.launch import SHUTDOWN_GRACE_S
from workers.supervise import TRAINER
from workers.waiting import LOST_GRACE_S, POLL_S

log = get_logger(__name__)

LOOK_EVERY_S = 0.5


class Companion:
    """Follows the first machine's jobs, one after the other."""

    def __init__(self, settings: Settings, database: Database, hosts: Hosts, command: Sequence[str] = TRAINER) -> None:
        """Follow with trainers started by `command`, as the supervisor starts its own."""
        self._settings, self._database, self._hosts = settings, database, hosts
        self._command = tuple(command)
        name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}{hosts.companion(hosts.number)}"
        # By itself it can run nothing; the first machine's worker tells what all of them have.
        self._presence = Presence(database, name, socket.gethostname(), dict)
        self._stopping, self._ended = threading.Event(), threading.Event()

    def stop(self) -> None:
        """Follow no other job; the one that runs may end, or be given back, within the grace of a shutdown."""
        self._stopping.set()

    def run(self) -> None:
        """Follow until `stop` is called. A database that is away for a while is waited for."""
        telling = threading.Thread(target=self._tell, name="presence", daemon=True)
        telling.start()
        done: tuple[str, int] | None = None
        while not self._stopping.is_set():
            try:
                claim = leases.to_follow(self._database, self._hosts)
            except SQLAlchemyError as error:
                log.error("database_not_asked", error=str(error))
                claim = None
            if claim is None or (claim.job_id, claim.fence) == done:  # what ended here ends there within moments
                self._stopping.wait(LOOK_EVERY_S)
                continue
            self._follow(claim)
            done = (claim.job_id, claim.fence)
        self._ended.set()
        telling.join()

    def _follow(self, claim: Claim) -> None:
        log.info("job_followed", job_id=claim.job_id, fence=claim.fence)
        trainers = launch.start(self._command, claim)
        try:
            self._wait(claim, trainers)
        finally:
            launch.kill(trainers)
            if trainers.stdin:
                trainers.stdin.close()
        log.info("job_left", job_id=claim.job_id, fence=claim.fence, exit_status=trainers.returncode)

    def _wait(self, claim: Claim, trainers: subprocess.Popen[bytes]) -> None:
        """Until they ended, or had their time after the job was lost or this worker was told to end."""
        kill_at, look_at = float("inf"), 0.0
        while time.monotonic() < kill_at:
            try:
                trainers.wait(POLL_S)
                return
            except subprocess.TimeoutExpired:
                now = time.monotonic()
            if self._stopping.is_set():
                kill_at = min(kill_at, now + SHUTDOWN_GRACE_S)
            if now >= look_at:
                look_at = now + min(5.0, self._settings.lease_s / 3)
                if not self._runs(claim):
                    kill_at = min(kill_at, now + LOST_GRACE_S)

    def _runs(self, claim: Claim) -> bool:
        """Whether the job still runs under this claim; yes, where the database cannot be asked."""
        try:
            return leases.is_held(self._database, claim)
        except SQLAlchemyError as error:
            log.error("database_not_asked", error=str(error))
            return True

    def _tell(self) -> None:
        """Write down that it lives, now and then, and that it ends: the first machine takes silence for death."""
        while not self._ended.is_set():
            try:
                self._presence.tell()
            except SQLAlchemyError as error:
                log.error("presence_not_told", error=str(error))
            self._ended.wait(min(5.0, self._settings.lease_s / 3))
        try:
            self._presence.leave()
        except SQLAlchemyError as error:  # it is seen to be silent soon
            log.warning("worker_not_signed_off", error=str(error))


def main() -> None:
    """Follow until SIGTERM or Ctrl-C."""
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    hosts = hosts_of(settings)
    if hosts is None or hosts.number == 0:
        sys.exit("inkling: the first machine's worker is workers.main; INKLING_NODE_RANK of the others is 1 and more")
    database = Database(settings.effective_database_url)
    companion = Companion(settings, database, hosts)

    def end(_number: int, _frame: FrameType | None) -> None:
        companion.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    migrate_once_there(database)
    log.info("companion_ready", rendezvous=hosts.rendezvous, node_rank=hosts.number)
    companion.run()
    database.dispose()


if __name__ == "__main__":
    main()
