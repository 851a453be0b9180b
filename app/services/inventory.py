"""What the database and the disk hold, told to Prometheus when it asks: jobs, workers, data, models, room.

Every web process tells the same of these, so that a dashboard takes one of them, not their sum.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from app.db.session import Database
from app.db.tables import job, stock, worker
from app.db.tables.stock import Stock
from app.log import get_logger
from app.services.storage import Storage

log = get_logger(__name__)
STATUSES = (*job.LIVE, *job.FINAL)


@dataclass(frozen=True)
class Held:
    """What the database tells, at one moment."""

    jobs: dict[str, int]  # by status
    longest_wait_s: float
    workers: int
    kept: dict[str, Stock]

    def collect(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("inkling_jobs", "Jobs, by their state.", labels=["status"])
        for status in STATUSES:
            jobs.add_metric([status], self.jobs.get(status, 0))
        yield jobs
        told = "For how long the oldest job that may run has waited for a worker."
        yield GaugeMetricFamily("inkling_job_wait_seconds", told, value=self.longest_wait_s)
        yield GaugeMetricFamily("inkling_workers", "Workers that told of themselves lately.", value=self.workers)
        counts = GaugeMetricFamily("inkling_stored", "Datasets, models, checkpoints.", labels=["kind"])
        sizes = GaugeMetricFamily("inkling_stored_bytes", "What their files take.", labels=["kind"])
        for kind, each in self.kept.items():
            counts.add_metric([kind], each.count)
            sizes.add_metric([kind], each.size_bytes)
        yield from (counts, sizes)


@dataclass(frozen=True, eq=False)  # a registry keeps collectors by their hash
class Inventory(Collector):
    """Read once. Of a database that does not answer it tells that, and the rest all the same."""

    held: Held | None
    free_bytes: int
    total_bytes: int

    def collect(self) -> Iterator[Metric]:
        told = "Room in the data directory's file system."
        yield GaugeMetricFamily("inkling_disk_free_bytes", told, value=self.free_bytes)
        yield GaugeMetricFamily("inkling_disk_bytes", "That file system's size.", value=self.total_bytes)
        told = "Whether the database answers."
        yield GaugeMetricFamily("inkling_database_up", told, value=self.held is not None)
        if self.held is not None:
            yield from self.held.collect()


def read(database: Database, storage: Storage, lease_s: float) -> Inventory:
    """Workers count that were seen within `lease_s`."""
    room = shutil.disk_usage(storage.data_dir)
    try:
        held = _held(database, lease_s)
    except SQLAlchemyError as error:
        log.warning("metrics_without_database", error=type(error).__name__)
        held = None
    return Inventory(held, room.free, room.total)


def _held(database: Database, lease_s: float) -> Held:
    with database.read() as session:
        return Held(
            stock.jobs_by_status(session),
            stock.longest_wait_s(session),
            len(worker.live(session, lease_s)),
            stock.kept(session),
        )
