"""A Parquet file's rows, read by a process of its own (`parquet_child`), which may fall without harm to this one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from app.llm.data.rows import LONGEST_ROW, BadRow, Row, Table
from app.llm.errors import BadTable


@contextmanager
def parquet_rows(path: Path) -> Generator[Table]:
    """The table in a file, read on while rows are asked for; the process ends with the context.

    Raises:
        BadTable: as `read_parquet`, here and while rows are asked for, and where the process falls.
    """
    command = [sys.executable, "-m", "app.services.parquet_child", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as child:
        assert child.stdout is not None
        try:
            source = cast(BinaryIO, child.stdout)
            first = _line(source, "its list of columns")
            if not isinstance(first, dict):
                raise BadTable("the process that reads it as Parquet ends at once; is it damaged?")
            columns = first["columns"]
            yield Table(columns, _rows(source, child, columns))
        finally:
            child.kill()


def _rows(source: BinaryIO, child: subprocess.Popen[bytes], columns: list[str]) -> Iterator[Row | BadRow]:
    number = 0
    while (told := _line(source, f"row {number + 1}")) is not None:
        assert isinstance(told, list), "rows are lists"
        number, values = told
        yield Row(number, dict(zip(columns, values, strict=True)))
    if child.wait() != 0:
        raise BadTable(f"the process that reads it as Parquet ends after row {number}; is it damaged?")


def _line(source: BinaryIO, what: str) -> object:
    line = source.readline(LONGEST_ROW + 1)
    if len(line) > LONGEST_ROW:
        raise BadTable(f"{what} is longer than {LONGEST_ROW:,} bytes")
    if not line.endswith(b"\n"):
        return None
    told = json.loads(line)
    if isinstance(told, dict) and "refused" in told:
        raise BadTable(told["refused"])
    return cast(object, told)
