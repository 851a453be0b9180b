"""Rows in the form in which they are kept."""

from __future__ import annotations

import io
from collections.abc import Sequence

from app.llm.data.rows import Row, RowWriter, read_rows


def come_back(rows: Sequence[Row], columns: list[str] | None) -> None:
    """See that what is written is what is read."""
    file = io.BytesIO()
    writer = RowWriter(file, columns)
    for row in rows:
        writer.write(row)
    content = file.getvalue()
    assert writer.size_bytes == len(content)
    assert list(read_rows(content.split(b"\n"), columns or [], after=0)) == list(rows)
