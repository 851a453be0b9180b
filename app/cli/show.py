"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

UNFOLDED = 100_000  # characters: wider than any line

errors = Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)
output = Console(highlight=False, emoji=False, soft_wrap=True)


def complain(message: str) -> None:
    """One line, however long."""
    errors.print("inkling:", " ".join(message.splitlines()), style="red", markup=False)


def as_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def text(piece: str) -> None:
    """Text as it is, without a line end, at once."""
    sys.stdout.write(piece)
    sys.stdout.flush()


def rows(columns: Sequence[str], lines: Iterable[Sequence[object]]) -> None:
    """A table: folded to a terminal's width; in a pipe, where nobody looks, one line a row."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for line in lines:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in line))
    console = output if output.is_terminal else Console(width=UNFOLDED)
    console.print(table, soft_wrap=False)
