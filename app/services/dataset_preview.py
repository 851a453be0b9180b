"""A look into a dataset: the beginning of a text, a page of rows. Bounded in what it reads at once and hands out."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from app.db.tables.dataset import DatasetRow
from app.llm.data.rows import Row
from app.schemas.dataset import PreviewOut, PreviewQuery, RowOut
from app.services import datasets
from app.services.storage import Storage

MAX_SHOWN_CHARACTERS = 1 << 20
"""Of all values in one answer; beyond it, fewer rows come than were asked for."""


def preview(storage: Storage, dataset: DatasetRow, query: PreviewQuery) -> PreviewOut:
    """What `query` asks to see.

    Raises:
        DataMissing: the dataset's file is gone.
    """
    rows: list[RowOut] | None = None
    text: str | None = None
    if dataset.rows is None:
        text = datasets.characters(storage, dataset, 0, query.characters)
        truncated = len(text) < dataset.characters
    else:
        rows, truncated = _page(storage, dataset, query)
    return PreviewOut(id=dataset.id, text=text, characters=dataset.characters, rows=rows, truncated=truncated)


def shown(row: Row, characters: int) -> RowOut:
    """A row whose long values are cut; of lists and objects, the beginning of their JSON stands for them."""
    cut = {name: _beginning(value, characters) for name, value in row.values.items()}
    values = {name: row.values[name] if short is None else short for name, short in cut.items()}
    return RowOut(line=row.line, values=values, cut=[name for name, short in cut.items() if short is not None])


def _page(storage: Storage, dataset: DatasetRow, query: PreviewQuery) -> tuple[list[RowOut], bool]:
    found: list[RowOut] = []
    size = 0
    rows = datasets.rows_of(storage, dataset, query.after)
    for row in islice(rows, query.limit):
        made = shown(row, query.characters)
        size += sum(len(value) if isinstance(value, str) else 100 for value in made.values.values())
        if found and size > MAX_SHOWN_CHARACTERS:
            return found, True
        found.append(made)
    return found, next(rows, None) is not None


def _beginning(value: Any, characters: int) -> str | None:
    """The beginning of a value that is longer; None: it is not."""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return value[:characters] if isinstance(value, str) and len(value) > characters else None
