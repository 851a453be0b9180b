"""The kept form of rows: what was written comes back, at its line."""

from __future__ import annotations

import io
import tracemalloc
from typing import BinaryIO, cast

import pytest

from app.llm.data.rows import Row, RowWriter, read_rows

ROWS = [Row(2, {"a": "x\ny", "b": None}), Row(3, {"a": 1.5, "b": ["é"]}), Row(7, {"a": "", "b": {"c": True}})]


@pytest.mark.parametrize("columns", [None, ["a", "b"]])
def test_rows_come_back_at_their_lines(columns: list[str] | None) -> None:
    file = io.BytesIO()
    writer = RowWriter(file, columns)
    for row in ROWS:
        writer.write(row)
    assert writer.size_bytes == len(file.getvalue())
    file.seek(0)
    assert list(read_rows(file, ["a", "b"])) == ROWS
    file.seek(0)
    assert [row.line for row in read_rows(file, ["a", "b"], after=2)] == [3, 7]


def test_rows_of_a_table_are_kept_without_their_names() -> None:
    file = io.BytesIO()
    RowWriter(file, ["b", "a"]).write(Row(1, {"a": 1, "b": 2}))
    assert file.getvalue() == b"[2,1]"


class Counted(io.RawIOBase):
    """Counts what is written and forgets it."""

    size = 0

    def write(self, content: object) -> int:
        written = len(cast(bytes, content))
        self.size += written
        return written


def test_a_gap_of_a_hundred_million_lines_takes_no_memory() -> None:
    file = Counted()
    writer = RowWriter(cast(BinaryIO, file), None)
    tracemalloc.start()
    writer.write(Row(100_000_001, {"a": 1}))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert file.size == writer.size_bytes == 100_000_000 + len(b'{"a":1}')
    assert most < 3 * 1024 * 1024
