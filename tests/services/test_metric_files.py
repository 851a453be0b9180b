"""Metrics as files, read back by other means than those that wrote them."""

from __future__ import annotations

import csv
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from app.db.session import Database
from app.db.tables import metric
from app.db.tables.metric import MetricRow
from app.services import metric_files
from app.services.metric_files import as_csv, as_event_file
from tests.jobs_made import queued

CREATED_AT = 1_700_000_000.25


@pytest.fixture
def job_id(any_database: Database, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job with seven steps, read in pages of three."""
    monkeypatch.setattr(metric_files, "ROWS_AT_ONCE", 3)
    job = queued(any_database)
    with any_database.write() as session:
        session.add(MetricRow(job_id=job, step=0, created_at=CREATED_AT, val_loss=5.5, tokens=0))
        for step in range(1, 7):
            session.add(
                MetricRow(
                    job_id=job, step=step, created_at=CREATED_AT + step, loss=5 / step, learning_rate=1e-3,
                    grad_norm=0.5, tokens=step * 2**40, tokens_per_s=1e5, memory_bytes=2**31,
                    val_loss=1.25 if step == 6 else None,
                )
            )  # fmt: skip
    return job


def test_a_table_has_every_step_and_every_figure(any_database: Database, job_id: str) -> None:
    lines = "".join(as_csv(any_database, job_id))
    rows = list(csv.DictReader(lines.splitlines()))
    assert tuple(rows[0]) == metric_files.NAMES
    assert [int(row["step"]) for row in rows] == list(range(7))
    with any_database.read() as session:
        for written, row in zip(rows, metric.of_job(session, job_id, -1, 100), strict=True):
            for name in metric_files.NAMES:
                value = getattr(row, name)
                assert (written[name] == "") == (value is None)
                assert value is None or float(written[name]) == value


def test_a_job_without_a_step_has_a_table_of_names(any_database: Database) -> None:
    assert list(as_csv(any_database, queued(any_database))) == [",".join(metric_files.NAMES) + "\r\n"]


def test_a_recipes_own_figures_come_last(any_database: Database, job_id: str) -> None:
    with any_database.write() as session:
        figures = {"val_accuracy": 0.75, "accuracy": 0.5}
        session.add(MetricRow(job_id=job_id, step=7, created_at=CREATED_AT + 7, val_loss=1.0, figures=figures))
    rows = list(csv.DictReader("".join(as_csv(any_database, job_id)).splitlines()))
    assert tuple(rows[0]) == (*metric_files.NAMES, "accuracy", "val_accuracy")
    assert [(row["accuracy"], row["val_accuracy"]) for row in rows[-2:]] == [("", ""), ("0.5", "0.75")]
    assert b"".join(as_event_file(any_database, job_id, CREATED_AT)).count(b"val_accuracy") == 1


def crc32c(data: bytes) -> int:
    """Bit by bit, as RFC 3720 gives it; of "123456789" 0xE3069283."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(data: bytes) -> Iterator[bytes]:
    """Of a TFRecord file, with every checksum looked at."""
    while data:
        (length,), (of_length,) = struct.unpack("<Q", data[:8]), struct.unpack("<I", data[8:12])
        body = data[12 : 12 + length]
        (of_body,) = struct.unpack("<I", data[12 + length : 16 + length])
        assert (of_length, of_body) == (masked(data[:8]), masked(body))
        yield body
        data = data[16 + length :]


def test_an_event_file_has_a_scalar_for_each_figure(any_database: Database, job_id: str) -> None:
    assert crc32c(b"123456789") == 0xE3069283
    first, *events = [
        Event.FromString(body) for body in records(b"".join(as_event_file(any_database, job_id, CREATED_AT)))
    ]
    assert (first.file_version, first.wall_time) == ("brain.Event:2", CREATED_AT)
    assert [(event.step, event.wall_time) for event in events] == [(step, CREATED_AT + step) for step in range(7)]
    assert {value.tag: value.simple_value for value in events[0].summary.value} == {"val_loss": 5.5, "tokens": 0.0}
    last = {value.tag: value.simple_value for value in events[6].summary.value}
    assert last == pytest.approx(
        {
            "loss": 5 / 6, "val_loss": 1.25, "learning_rate": 1e-3, "grad_norm": 0.5, "tokens": 6 * 2**40,
            "tokens_per_s": 1e5, "memory_bytes": 2**31,
        }
    )  # fmt: skip


@pytest.mark.parity
def test_tensorboard_reads_the_file(any_database: Database, job_id: str, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tmp_path / "events.out.tfevents.1.job").write_bytes(b"".join(as_event_file(any_database, job_id, CREATED_AT)))
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    losses = {scalar.step: scalar.value for scalar in read.Scalars("loss")}
    assert losses == pytest.approx({step: 5 / step for step in range(1, 7)})
    assert [(scalar.step, scalar.value) for scalar in read.Scalars("val_loss")] == [(0, 5.5), (6, 1.25)]
    assert read.FirstEventTimestamp() == CREATED_AT
