"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

errors = Console(stderr=True, highlight=False)
output = Console(highlight=False)


def complain(message: str) -> None:
    errors.print("inkling:", message, style="red", markup=False)


def as_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def text(piece: str) -> None:
    """Text as it is, without a line end, at once."""
    sys.stdout.write(piece)
    sys.stdout.flush()


def rows(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in lines:
        table.add_row(*("" if cell is None else str(cell).replace("[", r"\[") for cell in line))
    output.print(table)
