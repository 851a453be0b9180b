"""Rows of Parquet: single values of every type, and what is refused by its column's name."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.llm.data.parquet import read_parquet
from app.llm.data.rows import Row
from app.llm.errors import BadTable


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd", "brotli"])
def test_rows_come_as_they_are(tmp_path: Path, compression: str) -> None:
    columns = {"text": [f"é{n}" for n in range(1000)], "n": list(range(1000))}
    table = read_parquet(written(tmp_path / "a", columns, compression=compression, row_group_size=300))
    assert table.columns == ["text", "n"]
    assert list(table.rows) == [Row(n + 1, {"text": f"é{n}", "n": n}) for n in range(1000)]


def test_values_that_json_lacks(tmp_path: Path) -> None:
    day = datetime.date(2026, 11, 25)
    columns = {
        "day": [day],
        "at": [datetime.datetime(2026, 11, 25, 12, 30)],
        "price": [Decimal("1.50")],
        "missing": [float("nan")],
        "label": pa.array(["a"]).dictionary_encode(),
        "none": pa.array([None], pa.string()),
    }
    (row,) = read_parquet(written(tmp_path / "a", columns)).rows
    assert isinstance(row, Row)
    assert row.values == {
        "day": "2026-11-25",
        "at": "2026-11-25T12:30:00",
        "price": "1.50",
        "missing": None,
        "label": "a",
        "none": None,
    }


def test_times_are_told_to_the_microsecond(tmp_path: Path) -> None:
    columns = {
        "at": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
        "there": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns", "+02:00")),
        "took": pa.array([1_123_456_789], pa.duration("ns")),
        "clock": pa.array([1_123_456_789], pa.time64("ns")),
        "again": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")).dictionary_encode(),
    }
    (row,) = read_parquet(written(tmp_path / "a", columns)).rows
    assert isinstance(row, Row)
    assert row.values == {
        "at": "2023-11-14T22:13:20.123456",
        "there": "2023-11-15T00:13:20.123456+02:00",
        "took": "0:00:01.123456",
        "clock": "00:00:01.123456",
        "again": "2023-11-14T22:13:20.123456",
    }


@pytest.mark.parametrize(
    "values",
    [pa.array([2**60], pa.timestamp("us")), pa.array([2**62], pa.duration("s")), pa.array([2**30], pa.date32())],
)
def test_times_that_no_calendar_has(tmp_path: Path, values: Any) -> None:
    with pytest.raises(BadTable, match="cannot be read as Parquet"):
        list(read_parquet(written(tmp_path / "a", {"a": values})).rows)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": pa.array([bytes(16)], pa.uuid())}, "column 'a' holds extension<arrow.uuid>"),
        ({"a": pa.array([1], pa.timestamp("us", "Foo/Bar"))}, "column 'a' has times of 'Foo/Bar'"),
        ({"a": ["x"], "messages": [[{"role": "user"}]]}, "column 'messages' holds list"),
        ({"a": [{"b": 1}]}, "column 'a' holds struct"),
        ({"a": [b"bytes"]}, "column 'a' holds binary"),
        ({f"c{n}": [1] for n in range(1001)}, "1,001 columns are more than 1,000"),
    ],
)
def test_columns_that_hold_no_single_values(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        read_parquet(written(tmp_path / "a", columns))


def test_damaged_files(tmp_path: Path) -> None:
    path = written(tmp_path / "a", {"text": [f"text {n}" for n in range(5000)]}, use_dictionary=False)
    whole = path.read_bytes()
    for content in (b"PAR1", whole[:-20], whole[:100] + bytes(400) + whole[500:]):
        path.write_bytes(content)
        with pytest.raises(BadTable, match="cannot be read as Parquet"):
            list(read_parquet(path).rows)
