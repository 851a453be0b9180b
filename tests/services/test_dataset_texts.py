"""Datasets as text to learn from: which column it is, and parts of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.config import Settings
from app.db.tables.dataset import DatasetRow
from app.errors import InvalidRequest
from app.services.dataset_texts import Source, source_of
from app.services.storage import Storage


def rows_of(**types: str) -> DatasetRow:
    return DatasetRow(id="ds_1", rows=3, columns=[{"name": name, "type": kind} for name, kind in types.items()])


@pytest.mark.parametrize(
    ("types", "asked", "column"),
    [
        ({"text": "text", "title": "text"}, None, "text"),
        ({"body": "text", "n": "number"}, None, "body"),
        ({"text": "text", "title": "text"}, "title", "title"),
    ],
)
def test_the_column_is_the_one_named_or_plain(types: dict[str, str], asked: str | None, column: str) -> None:
    assert source_of(rows_of(**types), asked, "dataset").column == column


@pytest.mark.parametrize(
    ("types", "asked", "param", "told"),
    [
        ({"title": "text", "body": "text"}, None, "dataset.0", "say which column to learn from"),
        ({"title": "text", "list": "list"}, "list", "dataset.0.column", "no column 'list' of texts; there are: title"),
        ({"title": "text"}, "body", "dataset.0.column", "no column 'body' of texts; there are: title"),
        ({"list": "list"}, None, "dataset.0", ": none"),
    ],
)
def test_a_column_that_cannot_be_it(types: dict[str, str], asked: str | None, param: str, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as refusal:
        source_of(rows_of(**types), asked, "dataset.0")
    assert refusal.value.param == param


def test_a_text_has_no_columns() -> None:
    text = DatasetRow(id="ds_1", rows=None, columns=[], characters=5)
    assert source_of(text, None, "dataset") == Source(text)
    assert Source(text).size == 5
    with pytest.raises(InvalidRequest, match="a text, without columns"):
        source_of(text, "text", "dataset.0")


@pytest.fixture
def source(settings: Settings) -> tuple[Storage, Source]:
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    values: list[Any] = ["one", None, " ", "four", 5, "six"]
    storage.dataset("ds_1").write_text("\n\n".join(json.dumps({"text": value}) for value in values))
    return storage, Source(DatasetRow(id="ds_1", rows=6, columns=[{"name": "text", "type": "mixed"}]), "text")


def test_parts_are_counted_in_rows(source: tuple[Storage, Source]) -> None:
    storage, rows = source
    assert list(rows.texts(storage)) == ["one", "four", "5", "six"]
    assert list(rows.texts(storage, 0, 4)) == ["one", "four"]
    assert list(rows.texts(storage, 4)) == ["5", "six"]
    assert rows.size == 6


def test_a_beginning_tells_whether_it_is_all(source: tuple[Storage, Source]) -> None:
    storage, rows = source
    assert rows.beginning(storage, (0, 4), 100) == (["one", "four"], True)
    assert rows.beginning(storage, (0, None), 7) == (["one", "four"], False)
    storage.dataset("ds_2").write_text("a text")
    text = Source(DatasetRow(id="ds_2", rows=None, columns=[], characters=6))
    assert text.beginning(storage, (2, None), 100) == (["text"], True)
    assert text.beginning(storage, (0, None), 1) == (["a"], False)
