"""Rows of datasets as recipes read them: line by line whatever the format, nested values whole, lengths judged."""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import pytest

from app.config import Settings
from app.db.session import Database
from app.db.tables.dataset import DatasetRow
from app.errors import InvalidRequest
from app.services import datasets, job_rows
from app.services.job_rows import JobRows, Lengths, Line, longest_of
from app.services.receiving import Said, receive
from app.services.storage import Storage
from tests.fakes import ByteTokenizer


@pytest.fixture
def storage(settings: Settings) -> Iterator[Storage]:
    made = Storage(settings.data_dir, settings.assets_dir, settings.effective_import_dir)
    made.prepare()
    return made


def put(database: Database, storage: Storage, content: bytes, name: str) -> DatasetRow:
    received = receive(storage, io.BytesIO(content), 1 << 20, Said(name))
    with database.write() as session:
        return datasets.register(session, storage, received, name)


CHAT = b'{"messages": [{"role": "user", "content": "hi"}], "n": 1}\n\n{"messages": [], "n": 2}\n'


def test_rows_come_with_their_lines_and_all_that_is_nested(database: Database, storage: Storage) -> None:
    chat = put(database, storage, CHAT, "a.jsonl")
    table = put(database, storage, b'label,text\na,"one\ntwo"\nb,three\n', "b.csv")
    found = list(JobRows((chat, table), None, {}, 0.0, 0.0).lines(storage, "dataset"))
    assert [(line.dataset, line.place, line.number) for line in found] == [
        (chat.id, 0, 1), (chat.id, 0, 3), (table.id, 1, 2), (table.id, 1, 4),
    ]  # fmt: skip
    assert found[0].values == {"messages": [{"role": "user", "content": "hi"}], "n": 1}
    assert found[2].values == {"label": "a", "text": "one\ntwo"}
    few = list(JobRows((chat,), None, {}, 0.0, 0.0).lines(storage, "dataset", most_bytes=1))
    assert [line.number for line in few] == [1]


def test_columns_that_are_not_there_and_texts_are_refused(database: Database, storage: Storage) -> None:
    chat = put(database, storage, CHAT, "a.jsonl")
    text = put(database, storage, b"some text", "a.txt")
    for rows, param in (
        (JobRows((chat,), None, {"text": "said"}, 0.0, 0.0), "columns.text"),
        (JobRows((text,), None, {}, 0.0, 0.0), "dataset"),
        (JobRows((chat,), text, {}, 0.0, 0.0), "validation"),
    ):
        with pytest.raises(InvalidRequest) as refusal:
            rows.check()
        assert refusal.value.param == param


def test_more_rows_than_memory_holds_are_refused(database: Database, storage: Storage, monkeypatch) -> None:
    monkeypatch.setattr(job_rows, "MAX_EXAMPLES", 1)
    two, one = (put(database, storage, content, "a.jsonl") for content in (CHAT, CHAT.split(b"\n")[0] + b"\n"))
    with pytest.raises(InvalidRequest, match="dataset: 2 rows are more than the 1 that one job learns from"):
        JobRows((two,), None, {}, 0.0, 0.0).check()
    with pytest.raises(InvalidRequest, match="validation: 2 rows are more than the 1 that one job measures on"):
        JobRows((one,), two, {}, 0.0, 0.0).check()


def line(**values: object) -> Line:
    return Line("ds_1", 0, 7, values, "dataset")


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "a is empty"), (" \n", "a is empty"), (["x"], "a must be text, not list"), (True, "not bool")],
)
def test_what_is_no_text_is_refused_with_its_line(value: object, said: str) -> None:
    with pytest.raises(InvalidRequest, match=f"^dataset: ds_1, line 7: .*{said}"):
        line(a=value).text("a")


def test_a_number_is_a_text_and_what_may_be_empty_is() -> None:
    assert (line(a=3).text("a"), line(a=1.5).text("a")) == ("3", "1.5")
    assert (line().text("a", may_be_empty=True), line(a="").text("a", may_be_empty=True)) == ("", "")


def test_lengths_are_counted_at_first_and_then_judged(monkeypatch) -> None:
    monkeypatch.setattr(job_rows, "COUNTED_CHARACTERS", 10)
    lengths = Lengths(ByteTokenizer())
    assert (lengths.of(line(), "é" * 8), lengths.is_exact) == (16, True)
    assert (lengths.of(line(), "ab"), lengths.is_exact) == (2, True)
    assert (lengths.of(line(), "x" * 100), lengths.is_exact) == (180, False)


def test_the_longest_of_some_drawn_by_chance() -> None:
    lengths = [1, 2, 5, 9, 9, 20]
    rng = random.Random(1)
    drawn = [max(rng.choices(lengths, k=4)) for _ in range(20_000)]
    assert longest_of(lengths, 4) == pytest.approx(sum(drawn) / len(drawn), rel=0.02)
    assert longest_of([7, 7], 8) == 7
