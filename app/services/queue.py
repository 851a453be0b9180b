"""The broker: delivers nudges, ids only. What a nudge may do is decided by the job's row, never by the message."""

from __future__ import annotations

from celery import Celery
from kombu.exceptions import OperationalError
from opentelemetry.trace import SpanKind
from sqlalchemy.orm import Session

from app.config import Settings
from app.db.session import after_commit
from app.log import get_logger
from app.services import tracing
from app.services.storage import Storage
from app.services.tracing import OFF, Tracing

log = get_logger(__name__)

NUDGE = "inkling.run_jobs"


def make_celery(settings: Settings) -> Celery:
    """A Celery app on the chosen broker; JSON, no results: the jobs table is the truth.

    A nudge is acknowledged once its worker has run what was queued: until then it takes no other, which would lie with
    a busy worker while an idle one waits. Delivered again, a nudge does nothing.
    """
    celery = Celery("inkling", broker=settings.effective_broker_url)
    celery.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_default_queue="inkling",
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_soft_shutdown_timeout=0,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # a broker that is away for an hour is no reason to end a training job
        broker_transport_options=_transport_options(settings),
    )
    if not settings.broker_url:
        celery.conf.broker_transport = "app.services.embedded_broker:Transport"
    return celery


def _transport_options(settings: Settings) -> dict[str, object]:
    if settings.broker_url:
        return {
            "visibility_timeout": 600,
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        }
    folder = Storage(settings.data_dir, settings.assets_dir).queue
    for name in ("messages", "processed", "control"):
        (folder / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "processed_folder": str(folder / "processed"),
        "control_folder": str(folder / "control"),
        "store_processed": True,
        "polling_interval": 0.2,
    }


class Nudger:
    """Tells the workers, once a transaction is committed, that there may be work."""

    def __init__(self, celery: Celery, tracing: Tracing = OFF) -> None:
        self._celery, self._tracing = celery, tracing

    def after_commit(self, session: Session, job_id: str) -> None:
        after_commit(session, lambda: self.send(job_id))

    def check(self) -> None:
        """See whether the broker answers.

        Raises:
            kombu.exceptions.OperationalError, OSError: it does not.
        """
        with self._celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)  # a channel to Redis pings

    def send(self, job_id: str) -> None:
        """Nudge now. A broker that is away loses nothing: the sweep of any worker finds the row."""
        with self._tracing.span("nudge", kind=SpanKind.PRODUCER, job_id=job_id):
            try:
                self._celery.send_task(NUDGE, args=[job_id], retry=False)
            except (OperationalError, OSError) as error:
                tracing.fail("broker_away")
                log.warning("nudge_not_sent", job_id=job_id, error=str(error))
