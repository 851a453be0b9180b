"""Files of rows, received: every format gives the same rows, refusals leave nothing, memory stays small."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.config import Settings
from app.errors import AppError
from app.llm.data.rows import read_rows
from app.services import receiving
from app.services.receiving import Received, Said, receive
from app.services.storage import Storage

ROWS = [{"text": f"This is row {n},\nof several lines", "label": ["spam", "ham"][n % 2]} for n in range(500)]
MIB = 1024 * 1024


@pytest.fixture
def storage(settings: Settings) -> Storage:
    made = Storage(settings.data_dir, settings.assets_dir)
    made.prepare()
    return made


def as_jsonl(rows: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def as_csv(rows: list[dict[str, str]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def packed(content: bytes) -> bytes:
    """By gzip, without the time of day: that would be in the names of tests."""
    return gzip.compress(content, mtime=0)


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file.getvalue()


FORMATS: dict[str, Callable[[list[dict[str, str]]], bytes]] = {
    "jsonl": as_jsonl,
    "csv": as_csv,
    "parquet": as_parquet,
}


def received(storage: Storage, content: bytes, filename: str, max_bytes: int = 1 << 30) -> Received:
    return receive(storage, io.BytesIO(content), max_bytes, Said(filename))


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("kept_as", FORMATS)
def test_every_format_gives_the_same_rows(storage: Storage, kept_as: str, compression: str | None) -> None:
    content = FORMATS[kept_as](ROWS)
    sent = gzip.compress(content) if compression == "gzip" else content
    sent = bytes(pa.compress(content, "zstd", asbytes=True)) if compression == "zstd" else sent
    found = received(storage, sent, f"rows.{kept_as}{'.gz' if compression else ''}")
    assert (found.format, found.compression, found.kind, found.rows) == (kept_as, compression, "labelled", 500)
    assert found.size_bytes == len(content)
    assert found.characters == sum(len(value) for row in ROWS for value in row.values())
    with found.path.open("rb") as file:
        assert [row.values for row in read_rows(file, ["text", "label"])] == ROWS
    assert list(storage.scratch.iterdir()) == [found.path]


@pytest.mark.parametrize(
    ("content", "filename", "code", "message"),
    [
        (b"", "a.jsonl", "invalid_file", "there is no row in it"),
        (b"\n\n", "a.jsonl", "invalid_file", "there is no row in it"),
        (b'[{"a": 1}]', "a.jsonl", "invalid_file", "no row in it; line 1: a row is an object in braces, not a list"),
        (b'{"a": 1}\n{"a": "caf\xe9"}', "a.jsonl", "invalid_file", "line 2 is no UTF-8"),
        (b"a,b\n", "a.csv", "invalid_file", "there is no row in it"),
        (b"a,b\n1\n", "a.csv", "invalid_file", "there is no row in it; line 2: 1 fields; the head has 2"),
        (b"", "a.csv", "invalid_file", "there is no line in it"),
        (b"PK\x03\x04\0\0", "a.csv", "unsupported_format", "this is a ZIP archive"),
        (b"%PDF-1.7\n\0", "a.jsonl", "unsupported_format", "this is a PDF document"),
        (
            packed("a,b\n1,2\n".encode("utf-16")),
            "a.csv.gz",
            "unsupported_format",
            "this is UTF-16 text",
        ),
        (b'a,b\n1,"2\n3,4\n', "a.csv", "invalid_file", "line 2 has a quotation mark that nothing closes"),
        (b'{"a": 1}\n' + b"x" * (9 * MIB), "a.jsonl", "invalid_file", "line 2 is longer than 8,388,608 bytes"),
        (b"text", "a.parquet", "unsupported_format", "does not begin as Parquet"),
        (b"PAR1 text", "a.txt", "invalid_file", "cannot be read as Parquet"),
        (as_parquet([{"text": ""}])[:-9], "a.parquet", "invalid_file", "cannot be read as Parquet"),
        (
            packed(b"a,b\n" + b"many words, one a line\n" * MIB),
            "a.csv.gz",
            "too_large",
            "unpacks to more than",
        ),
        (packed(b"text\n" * 4 * MIB), "a.txt.gz", "too_large", "unpacks to more than"),
        (as_parquet([{"text": "x" * 100_000}] * 1000), "a.parquet", "too_large", "its rows are more than"),
        (packed(packed(b"text")), "a.txt.gz", "unsupported_format", "a gzip archive"),
    ],
)
def test_what_cannot_be_used_is_refused_and_leaves_nothing(
    storage: Storage, content: bytes, filename: str, code: str, message: str
) -> None:
    with pytest.raises(AppError, match=message) as refusal:
        received(storage, content, filename, max_bytes=10 * MIB)
    assert (refusal.value.code, refusal.value.param) == (code, "file")
    assert list(storage.scratch.iterdir()) == []


def test_errors_are_counted_and_the_first_hundred_kept(storage: Storage) -> None:
    found = received(storage, b"nothing\n" * 500 + b'{"text": "a"}', "a.jsonl")
    assert (found.rows, found.report["bad_rows"], found.report["lines"]) == (1, 500, 501)
    assert [error["line"] for error in found.report["errors"]] == list(range(1, 101))


class Endless(io.RawIOBase):
    """A head, then one row again and again, never all of it in memory."""

    def __init__(self, head: bytes, row: bytes, total: int) -> None:
        self._pieces = self._made(head, row * 100, total)
        self._held = b""

    def _made(self, head: bytes, rows: bytes, total: int) -> Iterator[bytes]:
        if head:
            yield head
        for _ in range(total // len(rows)):
            yield rows

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def read(self, size: int = -1) -> bytes:
        if size == 4:
            return b"    "
        while len(self._held) < size and (piece := next(self._pieces, b"")):
            self._held += piece
        taken, self._held = self._held[:size], self._held[size:]
        return taken


@pytest.mark.parametrize(
    ("filename", "head", "row"),
    [
        ("a.jsonl", b"", b'{"text": "' + b"words of a row " * 20 + b'", "label": 1}\n'),
        ("a.csv", b"text,label\n", b'"' + b"words, of a row " * 20 + b'",1\n'),
        ("a.jsonl", b'{"text": "a"}\n', b"no json at all " * 20 + b"\n"),
    ],
)
def test_memory_does_not_grow_with_the_file(storage: Storage, filename: str, head: bytes, row: bytes) -> None:
    tracemalloc.start()
    try:
        found = receive(storage, Endless(head, row, 10 * MIB), 1 << 30, Said(filename))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.size_bytes > 9 * MIB
    assert peak < 5 * MIB


def test_a_file_of_bad_rows_is_not_read_to_its_end(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MAX_BAD_ROWS", 20)
    good = b'{"text": "a"}\n'
    assert received(storage, good * 30 + b"[\n" * 30, "a.jsonl").report["bad_rows"] == 30
    with pytest.raises(AppError, match=r"31 rows of it cannot be used, more than can; line 31: no JSON"):
        received(storage, good * 30 + b"[\n" * 10_000, "a.jsonl")
