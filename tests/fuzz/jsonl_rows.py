"""JSONL: each line a row or told why not; a row is what Python's own reader makes of it, and can be kept."""

from __future__ import annotations

import json

from app.llm.data.columns import Columns, kind_of
from app.llm.data.jsonl import read_jsonl
from app.llm.data.lines import numbered_lines
from app.llm.data.rows import Row
from app.llm.errors import BadTable
from tests.fuzz.kept import come_back

LONGEST = 1024
LONGEST_LINE = 400


def check(content: bytes) -> None:
    size, content = content[0] % 64 + 1 if content else 1, content[1:]
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    try:
        rows = list(read_jsonl(numbered_lines(chunks, LONGEST_LINE)).rows)
    except BadTable as error:
        assert str(error)
        return
    lines = content.removeprefix("\ufeff".encode()).split(b"\n")
    good = [row for row in rows if isinstance(row, Row)]
    for row in good:
        assert row.values == json.loads(lines[row.line - 1])
    assert all(row.reason for row in rows if not isinstance(row, Row))
    come_back(good, None)
    columns = Columns()
    try:
        for row in good:
            columns.count(row)
    except BadTable:
        return
    kind_of([column.name for column in columns.found()])
