"""CSV: rows or a refusal; what is read can be kept, and comes back the same."""

from __future__ import annotations

from app.llm.data.columns import Columns, kind_of
from app.llm.data.csv_rows import read_csv
from app.llm.data.lines import numbered_lines
from app.llm.data.rows import Row
from app.llm.errors import BadTable
from tests.fuzz.kept import come_back

LONGEST = 1024
LONGEST_LINE = 200


def check(content: bytes) -> None:
    size, content = content[0] % 64 + 1 if content else 1, content[1:]
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    try:
        table = read_csv(numbered_lines(chunks, LONGEST_LINE))
        rows = list(table.rows)
    except BadTable as error:
        assert str(error)
        return
    assert table.columns
    good = [row for row in rows if isinstance(row, Row)]
    assert all(list(row.values) == table.columns for row in good)
    assert [row.line for row in rows] == sorted({row.line for row in rows})
    come_back(good, table.columns)
    columns = Columns()
    try:
        for row in good:
            columns.count(row)
    except BadTable:
        return
    kind_of([column.name for column in columns.found()] or table.columns)
