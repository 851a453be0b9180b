"""What a worker process is made of: Celery's app, the supervisor of trainers, the sweep. Imports no torch."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from celery import Celery
from celery.bootsteps import StartStopStep
from celery.signals import setup_logging, worker_shutting_down

from app.config import Settings
from app.db.migrate import migrate_once_there
from app.db.session import Database
from app.log import configure_logging, get_logger
from app.services.presence import Presence
from app.services.queue import Nudger, make_celery
from app.services.storage import Storage
from app.services.sweep import Sweeper
from app.services.tracing import open_tracing
from app.services.webhooks import Deliveries
from workers.supervise import TRAINER, Supervisor
from workers.tasks import add_tasks
from workers.validate import Validation

log = get_logger(__name__)

Beside = Callable[[threading.Event], None]
"""What runs in a thread of its own until an event is set."""


def make_worker(settings: Settings, trainer: Sequence[str] = TRAINER) -> Celery:
    """Celery's app of a worker that runs one job at a time, each by the command `trainer`. Connects to nothing yet."""
    _keep_our_logs(settings)
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    database = Database(settings.effective_database_url)
    celery = make_celery(settings)
    celery.conf.update(
        worker_pool="threads",  # a forked one cannot start children of its own, nor hear of a shutdown
        worker_concurrency=1,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
    )
    tracing = open_tracing(settings, "inkling-worker")  # what waits to be sent is sent when the process ends
    supervisor = Supervisor(settings, database, trainer, tracing)
    add_tasks(celery, supervisor)
    presence = Presence(database, supervisor.worker_id, socket.gethostname(), lambda: supervisor.devices)
    sweeper = Sweeper(settings, database, storage, Nudger(celery), lambda: supervisor.is_busy, presence)
    beside: dict[str, Beside] = {
        "sweep": sweeper.run,
        "validate": Validation(settings, database, supervisor.worker_id, tracing=tracing).run,
        "webhooks": Deliveries(settings, database).run,
    }
    celery.steps["worker"].add(_life(database, supervisor, beside))
    return celery


def _keep_our_logs(settings: Settings) -> None:
    """One kind of log lines for the whole process; Celery, which tells of every nudge, only when something is wrong."""

    def configure(**_options: Any) -> None:
        configure_logging(settings.log_level, settings.log_format)
        logging.getLogger("celery").setLevel(logging.WARNING)

    configure()
    setup_logging.connect(configure, weak=False)  # who listens to this signal keeps Celery from its own ways


def run(celery: Celery, *, watch_stdin: bool) -> None:
    """Run `celery`'s worker in this process, to its end."""
    if watch_stdin:
        threading.Thread(target=_end_with_input, name="stdin", daemon=True).start()
    celery.worker_main(["--quiet", "worker"])


def _end_with_input() -> None:
    """Whoever started us holds the other end of the pipe, and is gone when it closes."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def take_signals_one_by_one() -> None:
    """Let a signal that comes while another is seen to pass.

    Their handlers take locks, ours and Celery's: one that interrupts another would wait for ever for what that holds.
    """
    busy = threading.Lock()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, _unless_busy(busy, handler))


def _unless_busy(busy: threading.Lock, handler: Callable[..., Any]) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        if not busy.acquire(blocking=False):
            return  # the worker ends for the other one
        try:
            handler(number, frame)
        finally:
            busy.release()

    return handle


def _life(database: Database, supervisor: Supervisor, beside: dict[str, Beside]) -> type[StartStopStep]:
    """A step of Celery's worker: what happens before it takes nudges, and once it is to end, whatever the reason."""

    class Life(StartStopStep):  # type: ignore[misc]  # Celery has no types
        requires = ("celery.worker.components:Pool",)  # started after the pool, stopped before it waits for its tasks

        def __init__(self, worker: Any, **options: Any) -> None:
            super().__init__(worker, **options)
            # Workers here have nothing to tell each other, and on the filesystem transport nobody removes the tale.
            worker.options.update(without_gossip=True, without_mingle=True, without_heartbeat=True)
            self._stopping = threading.Event()
            # Celery stops its steps only once its loop comes round, seconds later; the trainer is told at once.
            worker_shutting_down.connect(self._on_shutdown, weak=False)
            self._beside = [
                threading.Thread(target=run, args=(self._stopping,), name=name, daemon=True)
                for name, run in beside.items()
            ]

        def start(self, _worker: Any) -> None:
            take_signals_one_by_one()
            migrate_once_there(database)
            for thread in self._beside:
                thread.start()
            log.info("worker_ready", worker_id=supervisor.worker_id)

        def stop(self, _worker: Any) -> None:
            supervisor.stop()
            self._stopping.set()

        def _on_shutdown(self, **_options: Any) -> None:
            self.stop(None)

        def terminate(self, worker: Any) -> None:
            self.stop(worker)

    return Life
