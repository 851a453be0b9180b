"""Pages of rows: long values are cut, and a page of long rows ends early."""

from __future__ import annotations

import json

import pytest

from app.config import Settings
from app.db.tables.dataset import DatasetRow
from app.llm.data.rows import Row
from app.schemas.dataset import PreviewQuery
from app.services.dataset_preview import MAX_SHOWN_CHARACTERS, preview, shown
from app.services.storage import Storage


def test_long_values_are_cut() -> None:
    row = shown(Row(3, {"a": "abcdef", "b": ["one", "two"], "c": 12345678, "d": "ab"}), 4)
    assert row.values == {"a": "abcd", "b": '["on', "c": 12345678, "d": "ab"}
    assert row.cut == ["a", "b"]


@pytest.fixture
def dataset(settings: Settings) -> tuple[Storage, DatasetRow]:
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    text = "x" * (MAX_SHOWN_CHARACTERS // 4)
    storage.dataset("ds_1").write_text("\n".join(json.dumps({"text": text}) for _ in range(6)))
    return storage, DatasetRow(id="ds_1", rows=6, columns=[{"name": "text"}], characters=0)


def test_a_page_of_long_rows_ends_early(dataset: tuple[Storage, DatasetRow]) -> None:
    storage, row = dataset
    found = preview(storage, row, PreviewQuery(characters=100_000))
    assert found.rows is not None
    assert (len(found.rows), found.truncated) == (6, False)
    lines = []
    after = 0
    while True:
        page = preview(storage, row, PreviewQuery.model_construct(characters=10**9, limit=20, after=after))
        assert page.rows
        lines += [one.line for one in page.rows]
        after = lines[-1]
        if not page.truncated:
            break
    assert lines == [1, 2, 3, 4, 5, 6]
