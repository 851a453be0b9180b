"""Rows of a Parquet file, a few hundred at a time. Its lines are its rows, counted from 1.

pyarrow is imported when it is needed: it takes a third of a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.llm.data.rows import MAX_COLUMNS, BadRow, Row, Table
from app.llm.errors import BadTable

ROWS_AT_ONCE = 256
START = b"PAR1"
SINGLE = (
    "null",
    "boolean",
    "integer",
    "floating",
    "decimal",
    "string",
    "large_string",
    "string_view",
    "date",
    "time",
    "timestamp",
    "duration",
)
"""Types of columns that are read, as `pyarrow.types` calls them."""


def read_parquet(path: Path) -> Table:
    """The rows of a file.

    Raises:
        BadTable: it is no Parquet file, is damaged (also while rows are read), or has a column that holds no single
            values or times of an unknown zone, or more columns than a table may have.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as error:
        raise _damaged(error) from None
    if len(schema) > MAX_COLUMNS:
        raise BadTable(f"{len(schema):,} columns are more than {MAX_COLUMNS:,}")
    for column in schema:
        _check(column.name, column.type)
    names = list(schema.names)
    if len(set(names)) < len(names):
        raise BadTable("two of its columns have one name")
    return Table(names, _rows(file))


def _check(name: str, kind: Any) -> None:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    kind = kind.storage_type if isinstance(kind, pa.JsonType) else kind
    if not any(getattr(pa.types, f"is_{known}")(kind) for known in SINGLE):
        told = "only texts, numbers, booleans, dates and times are read"
        raise BadTable(f"column {name[:100]!r} holds {kind!s:.100}; {told}")
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        try:
            pa.lib.string_to_tzinfo(kind.tz)
        except (KeyError, ValueError):
            raise BadTable(f"column {name[:100]!r} has times of {kind.tz[:100]!r}, an unknown time zone") from None


def _rows(file: Any) -> Iterator[Row | BadRow]:
    import pyarrow as pa

    number = 0
    try:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, use_threads=False):
            columns = [_in_microseconds(column) for column in batch.columns]
            for values in pa.RecordBatch.from_arrays(columns, names=batch.schema.names).to_pylist():
                number += 1
                yield _row(number, values)
    except (pa.ArrowException, OSError, ValueError, KeyError, OverflowError) as error:
        raise _damaged(error, number) from None


def _in_microseconds(column: Any) -> Any:
    """Times in nanoseconds as Python holds them: it has no smaller part of a second, nor has JSON a form for one."""
    import pyarrow as pa

    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    kind = column.type
    if not pa.types.is_temporal(kind) or getattr(kind, "unit", "") != "ns":
        return column
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    return column.cast(pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us"), safe=False)


def _row(number: int, values: dict[str, Any]) -> Row | BadRow:
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[name] = None  # how pandas writes what is missing
        elif isinstance(value, date | time):
            values[name] = value.isoformat()
        elif isinstance(value, Decimal | timedelta):
            values[name] = str(value)
    return Row(number, values)


def _damaged(error: Exception, after: int = 0) -> BadTable:
    where = f" after row {after}" if after else ""
    return BadTable(f"it cannot be read as Parquet{where}: {str(error)[:200]}")
