"""Reports: every count of a small dataset, samples of a large one, and what is kept."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.config import Settings
from app.db.session import Database
from app.errors import DatasetNotFound, TokenizerNotFound, UnknownWord
from app.schemas.dataset_report import ReportQuery
from app.schemas.tokenizer import TokenizerCreate
from app.services import dataset_report, datasets, tokenizer_making
from app.services.receiving import Said, receive
from app.services.runtime import Runtime

Made = Callable[..., str]


@pytest.fixture
def runtime(settings: Settings, database: Database) -> Iterator[Runtime]:
    chosen = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets"})
    made = Runtime.open(chosen)
    made.storage.prepare()
    yield made
    made.close()


@pytest.fixture
def upload(runtime: Runtime) -> Made:
    def made(content: str, filename: str = "a.jsonl") -> str:
        found = receive(runtime.storage, io.BytesIO(content.encode()), 1 << 30, Said(filename))
        with runtime.database.write() as session:
            return datasets.register(session, runtime.storage, found, filename).id

    return made


@pytest.fixture
def words(runtime: Runtime, upload: Made) -> str:
    dataset = upload("one two three four five " * 5, "words.txt")
    for version in (1, 2):
        body = TokenizerCreate(name=f"words-{version}", kind="word", version=version, dataset=dataset)
        with runtime.database.write() as session:
            row = tokenizer_making.check(session, body)
            made = tokenizer_making.make(runtime.storage, row, body)
            tokenizer_making.register(session, runtime.storage, body.name, made, dataset)
    return "words-2"


def report(runtime: Runtime, dataset: str, **query: Any) -> Any:
    return json.loads(dataset_report.report(runtime, dataset, ReportQuery(**query)))


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


ROWS = lines(
    {"text": "one two", "label": "a"},
    {"text": "three <|im_end|>", "label": "b"},
    {"label": "a", "text": "one  two"},
    {"text": "", "label": "a"},
    {"text": None, "label": None},
    {"text": "one " * 20, "label": "a"},
)


def test_all_that_a_report_tells_of_rows(runtime: Runtime, upload: Made, words: str) -> None:
    told = report(runtime, upload(ROWS + "no json\n"), tokenizer=words, context_length=8)
    assert (told["kind"], told["format"], told["rows"]) == ("labelled", "jsonl", 6)
    assert told["looked_at"] == {"unit": "row", "count": 6, "sampled": False, "one_in": 1}
    assert told["errors"]["count"] == 4
    assert [(error["line"], error["field"]) for error in told["errors"]["data"]] == [
        (4, "text"),
        (5, "label"),
        (5, "text"),
        (7, None),
    ]
    assert told["empty"] == {"count": 1, "lines": [5]}
    assert told["duplicates"] == {"count": 1, "share": 1 / 6, "data": [{"line": 3, "first_line": 1}]}
    assert told["overlap"] is None
    assert told["special_tokens"] == [{"token": "<|im_end|>", "count": 1, "line": 2, "of_tokenizer": False}]
    assert told["classes"]["data"] == [{"label": "a", "count": 4}, {"label": "b", "count": 1}]
    lengths = told["lengths"]
    assert (lengths["longest"], lengths["longest_line"], lengths["too_long"]) == (20, 6, 1)
    assert lengths["cut_tokens_share"] == 12 / lengths["tokens"]
    assert sum(bucket["count"] for bucket in lengths["buckets"]) == 6
    assert [row["line"] for row in told["preview"]["rows"]] == [1, 2, 3, 4, 5]


def test_what_of_the_validation_data_is_in_the_training_data(runtime: Runtime, upload: Made, words: str) -> None:
    train = upload("text,label\none two,a\nthree,b\n", "train.csv")
    held_out = upload(lines({"label": "a", "text": "one two "}, {"label": "b", "text": "four"}))
    overlap = report(runtime, train, tokenizer=words, validation=held_out)["overlap"]
    assert overlap == {
        "dataset": held_out,
        "looked_at": 2,
        "count": 1,
        "share": 0.5,
        "data": [{"line": 1, "first_line": 2}],
    }


def test_a_text_is_told_by_its_paragraphs(runtime: Runtime, upload: Made, words: str) -> None:
    told = report(runtime, upload("one two\nthree\n\nfour\n\none two three\n", "a.txt"), tokenizer=words)
    assert told["looked_at"] == {"unit": "paragraph", "count": 3, "sampled": False, "one_in": 1}
    assert told["duplicates"]["data"] == [{"line": 6, "first_line": 1}]
    assert (told["lengths"]["tokens"], told["classes"], told["rows"]) == (7, None, None)


def test_of_a_large_dataset_a_sample_is_looked_at(
    runtime: Runtime, upload: Made, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_report, "MAX_UNITS", 100)
    dataset = upload(lines(*({"text": f"one {n % 500}", "label": "a"} for n in range(1000))))
    told = report(runtime, dataset, tokenizer=words)
    assert (told["looked_at"]["sampled"], told["looked_at"]["one_in"]) == (True, 16)
    assert 20 < told["looked_at"]["count"] < 130
    assert told["duplicates"]["share"] == 0.5  # equal rows are chosen together


def test_a_report_is_kept_for_its_parameters(runtime: Runtime, upload: Made, words: str) -> None:
    dataset = upload(ROWS)
    first = report(runtime, dataset, tokenizer=words, context_length=8)
    runtime.storage.dataset(dataset).rename(runtime.storage.scratch / "aside")
    assert report(runtime, dataset, tokenizer=words, context_length=8) == first
    (runtime.storage.scratch / "aside").rename(runtime.storage.dataset(dataset))
    assert report(runtime, dataset, tokenizer=words, context_length=9) != first
    assert len(list(runtime.storage.tokens(dataset).iterdir())) == 2


def test_what_is_not_there_is_named(runtime: Runtime, upload: Made, words: str) -> None:
    dataset = upload(ROWS)
    for query, error, param in (
        ({"validation": "ds_none", "tokenizer": words}, DatasetNotFound, "validation"),
        ({"tokenizer": "none"}, TokenizerNotFound, "tokenizer"),
        ({"tokenizer": "words-1"}, UnknownWord, "tokenizer"),
    ):
        with pytest.raises(error) as refusal:
            dataset_report.report(runtime, dataset, ReportQuery(**query))
        assert refusal.value.param == param
    with pytest.raises(DatasetNotFound):
        dataset_report.report(runtime, "ds_none", ReportQuery(tokenizer=words))


def test_samples_meet_whatever_the_spacing_the_order_of_columns_and_the_format(
    runtime: Runtime, upload: Made, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_report, "MAX_UNITS", 100)
    rows = [{"text": f"one {n}", "label": "a"} for n in range(1000)]
    train = upload(lines(*rows))
    for content, filename in (
        ("".join(f'{{"label": "a",  "text": "one  {n} "}}\n' for n in range(1000)), "b.jsonl"),
        ("label,text\r\n" + "".join(f"a, one {n}\r\n" for n in range(1000)), "b.csv"),
    ):
        overlap = report(runtime, train, tokenizer=words, validation=upload(content, filename))["overlap"]
        assert 20 < overlap["looked_at"] < 130
        assert overlap["share"] == 1.0
    again = upload(lines(*rows) + lines(*({"label": "a", "text": f" one {n}"} for n in range(1000))))
    assert report(runtime, again, tokenizer=words)["duplicates"]["share"] == 0.5


def test_a_large_validation_dataset_is_sampled_beside_a_small_one(
    runtime: Runtime, upload: Made, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_report, "MAX_UNITS", 100)
    small = upload(lines(*({"text": f"one {n}", "label": "a"} for n in range(50))))
    large = upload(lines(*({"text": f"one {n}", "label": "a"} for n in range(1000))))
    told = report(runtime, small, tokenizer=words, validation=large)
    assert told["looked_at"]["one_in"] == 1
    assert 20 < told["overlap"]["looked_at"] < 130


def test_a_packed_parquet_is_judged_by_what_is_in_it(
    runtime: Runtime, upload: Made, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_report, "MAX_BYTES", 100_000)
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["one " * 100] * 1000}), file)
    found = receive(runtime.storage, io.BytesIO(file.getvalue()), 1 << 30, Said("a.parquet"))
    with runtime.database.write() as session:
        dataset = datasets.register(session, runtime.storage, found, "a").id
    assert found.size_bytes < 10_000
    assert report(runtime, dataset, tokenizer=words)["looked_at"]["one_in"] == 8


def test_a_report_that_cannot_be_kept_is_answered_all_the_same(
    runtime: Runtime, upload: Made, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = upload(ROWS)

    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        assert report(runtime, dataset, tokenizer=words)["rows"] == 6
    assert list(runtime.storage.tokens(dataset).iterdir()) == []


def test_a_report_whose_file_goes_between_two_looks_is_made(
    runtime: Runtime, upload: Made, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = upload(ROWS)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert report(runtime, dataset, tokenizer=words)["rows"] == 6
