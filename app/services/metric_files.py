"""A job's metrics as files for other programs, made while they are sent: CSV, and TensorBoard's event file."""

from __future__ import annotations

import csv
import io
import struct
from collections.abc import Iterator
from typing import Any

from app.db.session import Database
from app.db.tables import metric
from app.db.tables.metric import MetricRow

ROWS_AT_ONCE = 1000
NAMES = tuple(name for name in metric.FIELDS if name != "figures")
CURVES = tuple(name for name in NAMES if name not in ("step", "created_at"))


def as_csv(database: Database, job_id: str) -> Iterator[str]:
    """A line of names, then one for each step; empty where nothing was measured. The recipe's own figures come last."""
    own = sorted({name for rows in _pages(database, job_id) for row in rows for name in row.figures or {}})
    yield _line((*NAMES, *own))
    for rows in _pages(database, job_id):
        yield "".join(_line([*_values(row, NAMES), *((row.figures or {}).get(name) for name in own)]) for row in rows)


def as_event_file(database: Database, job_id: str, created_at: float) -> Iterator[bytes]:
    """Records of TensorBoard's format, one for each step: its scalars under the names of the metrics.

    Args:
        created_at: of the job, Unix seconds; the file's first record tells it.
    """
    from tensorboardX.proto.event_pb2 import Event  # protobuf's classes take a while
    from tensorboardX.proto.summary_pb2 import Summary

    yield _record(Event(wall_time=created_at, file_version="brain.Event:2").SerializeToString())
    for rows in _pages(database, job_id):
        for row in rows:
            curves = dict(zip(CURVES, _values(row, CURVES), strict=True)) | (row.figures or {})
            known = [(name, value) for name, value in curves.items() if value is not None]
            values = [Summary.Value(tag=name, simple_value=value) for name, value in known]
            event = Event(wall_time=row.created_at, step=row.step, summary=Summary(value=values))
            yield _record(event.SerializeToString())


def _values(row: MetricRow, names: tuple[str, ...]) -> list[Any]:
    return [getattr(row, name) for name in names]


def _record(data: bytes) -> bytes:
    """A length and the data, each followed by its checksum (TFRecord)."""
    from tensorboardX.record_writer import masked_crc32c

    length = struct.pack("<Q", len(data))
    return b"".join((length, struct.pack("<I", masked_crc32c(length)), data, struct.pack("<I", masked_crc32c(data))))


def _pages(database: Database, job_id: str) -> Iterator[list[MetricRow]]:
    """All rows by step, in short transactions: whoever reads them may be slow."""
    last = -1
    while True:
        with database.read() as session:
            rows = metric.of_job(session, job_id, last, ROWS_AT_ONCE)
        if rows:
            yield rows
        if len(rows) < ROWS_AT_ONCE:
            return
        last = rows[-1].step


def _line(values: object) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(values)  # type: ignore[arg-type]
    return text.getvalue()
