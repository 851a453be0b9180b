"""Parquet is read in a process of its own: what it refuses is told, and so is that it fell."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.llm.data.rows import LONGEST_ROW, Row
from app.llm.errors import BadTable
from app.services import parquet_process
from app.services.parquet_process import parquet_rows


def test_rows_come_through(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x\ny", None], "b": [1.5, 2.0]}), tmp_path / "a")
    with parquet_rows(tmp_path / "a") as table:
        assert table.columns == ["a", "b"]
        assert [(row.line, row.values) for row in table.rows if hasattr(row, "values")] == [
            (1, {"a": "x\ny", "b": 1.5}),
            (2, {"a": None, "b": 2.0}),
        ]


def test_a_refusal_comes_through(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"PAR1 is not all")
    with pytest.raises(BadTable, match="cannot be read as Parquet"), parquet_rows(tmp_path / "a"):
        pass


def test_nobody_waits_for_rows_that_nobody_wants(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": ["x" * 100] * 500_000}), tmp_path / "a")
    with parquet_rows(tmp_path / "a") as table:
        next(table.rows)


def test_a_process_that_falls_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_process.sys, "executable", "/bin/false")
    with pytest.raises(BadTable, match="ends at once"), parquet_rows(tmp_path / "a"):
        pass


@pytest.mark.parametrize("character", ["x", "é"])
def test_a_row_is_as_long_as_one_of_another_format(tmp_path: Path, character: str) -> None:
    longest = LONGEST_ROW // len(character.encode()) - 100
    pq.write_table(pa.table({"a": [character * longest, character * (longest + 200)]}), tmp_path / "a")
    with parquet_rows(tmp_path / "a") as table:
        assert next(table.rows) == Row(1, {"a": character * longest})
        with pytest.raises(BadTable, match="row 2 is longer than 8,388,608 bytes"):
            next(table.rows)
