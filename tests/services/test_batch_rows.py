"""Windows of a batch, told so that a person finds them again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from app.db.tables.job import JobRow
from app.llm.data.windows import Batches, Mixture, Windows
from app.services import batch_rows
from app.services.batch_rows import Row, in_words, rows_of


class Letters:
    """A token is a byte; 0 ends a text."""

    vocab_size = 256
    eos_id = 0

    def __init__(self, kind: str = "bpe") -> None:
        self.kind = kind
        self.special_tokens = {"<|endoftext|>": 0}

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode()

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([token_id])


TEXT = "one\ntwo\nthree\nfour\nfive\nsix\n"


def windows(text: str, stride: int = 8) -> Windows:
    return Windows(np.frombuffer(text.encode(), dtype=np.uint8), 8, stride)


def job(*names: str, column: str | None = None) -> JobRow:
    extra = {} if column is None else {"column": column}
    return JobRow(datasets=[{"dataset": name, "weight": 1.0, **extra} for name in names])


@pytest.mark.parametrize("piece", [1 << 20, 5])
def test_a_window_of_a_text_is_told_by_its_line(piece, monkeypatch):
    monkeypatch.setattr(batch_rows, "_COUNTED_AT_ONCE", piece)
    batches = Batches(windows(TEXT), 2, seed=None, drop_last=False)
    rows = rows_of(job("ds_1"), batches, [0, 1], Letters())
    assert [(row.batch, row.first_token, row.last_token, row.line, row.row) for row in rows] == [
        (0, 0, 8, 1, None),
        (0, 8, 16, 3, None),
        (1, 16, 24, 4, None),
    ]
    assert [row.excerpt for row in rows] == [TEXT[row.first_token : row.first_token + 8] for row in rows]
    assert str(rows[1]) == "ds_1, line 3, tokens 8 to 16"


def test_the_windows_are_those_that_the_batch_reads():
    mixed = Mixture([windows(TEXT), windows("abcdefghij" * 5, stride=3)], [1.0, 2.0])
    batches = Batches(mixed, 4, seed=7)
    for number in range(6):
        inputs, _ = batches[number]
        rows = rows_of(job("ds_1", "ds_2"), batches, [number], Letters())
        assert [row.excerpt for row in rows] == [bytes(ids.tolist()).decode() for ids in inputs]
        assert {row.dataset for row in rows} <= {"ds_1", "ds_2"}


def test_a_window_of_rows_is_told_by_its_row():
    rows = rows_of(job("ds_1", column="text"), Batches(windows("ab\0cde\0fg\0hijk\0lmno\0pq"), 2, None), [0], Letters())
    assert [(row.row, row.line) for row in rows] == [(1, None), (3, None)]
    assert str(rows[1]) == "ds_1, row 3, tokens 8 to 16"


def test_a_word_tokenizer_knows_no_lines():
    rows = rows_of(job("ds_1"), Batches(windows(TEXT), 2, seed=None), [0], Letters("word"))
    assert [row.line for row in rows] == [None, None]
    assert str(rows[0]) == "ds_1, tokens 0 to 8"


def test_many_rows_are_told_in_part(monkeypatch):
    monkeypatch.setattr(batch_rows, "MAX_ROWS", 5)
    rows = rows_of(job("ds_1"), Batches(windows("x" * 200), 8, seed=1), [0], Letters())
    assert len(rows) == 5
    assert in_words(rows).endswith("; and 2 more")
    assert in_words(rows[:1]) == str(rows[0])
    assert all(isinstance(row, Row) for row in rows)
