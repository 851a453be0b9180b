"""An upload is read to its end, judged on the way, and laid into scratch in the form in which it is kept.

Texts are kept as they are, unpacked. Of files of rows the rows are kept, in the form of `llm/data/rows.py`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

from app.db.base import new_id
from app.errors import InvalidFile, InvalidRequest, NoDiskSpace, TooLarge, UnsupportedFormat
from app.llm.data.columns import ROLES, Columns, Kind, kind_of, roles
from app.llm.data.csv_rows import read_csv
from app.llm.data.jsonl import read_jsonl
from app.llm.data.lines import numbered_lines
from app.llm.data.parquet import START as PARQUET_START
from app.llm.data.rows import BadRow, RowWriter, Table
from app.llm.errors import BadTable
from app.services.compressed import compression_of, unpacked
from app.services.parquet_process import parquet_rows
from app.services.storage import Storage
from app.services.text_files import TextReader, refuse_binary

Format = Literal["txt", "jsonl", "csv", "parquet"]
ENDINGS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
"""Of file names, without one for how it is compressed; all others are texts."""
COPIED_BYTES = 1 << 20
KEPT_ERRORS = 100
MAX_BAD_ROWS = 100_000
"""From so many on, a file with more of them than of good ones is most likely of another format."""
_AS_JSON = 8
"""So many times as long as its line of JSONL or CSV a row may be in the kept form: more than it ever is."""


@dataclass(frozen=True)
class Said:
    """What the sender says of a file; None: to be found out."""

    filename: str | None = None
    format: Format | None = None
    kind: Literal["text"] | Kind | None = None


@dataclass(frozen=True)
class Received:
    """A file that was read to its end, found good, and lies in scratch."""

    path: Path
    format: Format
    compression: str | None
    size_bytes: int  # unpacked, as is the hash
    sha256: str
    characters: int  # of all texts in it
    report: dict[str, Any]
    kind: Literal["text"] | Kind = "text"
    rows: int | None = None
    columns: list[dict[str, Any]] = field(default_factory=list)
    original: Path | None = None  # in scratch, too: the file as it was sent, where `path` has another form of it
    original_bytes: int | None = None

    def remove(self) -> None:
        """Leave nothing of it in scratch."""
        self.path.unlink(missing_ok=True)
        if self.original is not None:
            self.original.unlink(missing_ok=True)


def receive(storage: Storage, source: BinaryIO, max_bytes: int, said: Said | None = None) -> Received:
    """Read an upload into scratch. Needs memory for one chunk and one row; leaves nothing when it refuses.

    Raises:
        TooLarge: more than `max_bytes`, as sent or unpacked.
        UnsupportedFormat, InvalidFile: it is not of its format, has no row, or is empty.
        InvalidRequest: it is not of the kind that was said; `param` says so.
        NoDiskSpace: the disk is full.
    """
    said = said or Said()
    compression = compression_of(source)
    content = unpacked(source, compression, max_bytes)
    head = next(content, b"")
    kept_as = _format_of(said, head)
    if said.kind is not None and (said.kind == "text") != (kept_as == "txt"):
        raise InvalidRequest(f"kind: a file of format {kept_as} cannot be {said.kind}", param="kind")
    with _aside(storage) as path, path.open("xb") as file:
        if kept_as == "txt":
            received = _text(_joined(head, content), file, path, compression)
        else:
            received = _rows(storage, _joined(head, content), file, (path, kept_as, compression), max_bytes)
            received = _of_kind(received, said.kind)
        file.flush()
        os.fsync(file.fileno())
    return received


def with_original(storage: Storage, source: BinaryIO, received: Received) -> Received:
    """The same, with a copy of what was sent where that cannot be had from what is kept: of rows, and of archives.

    Raises:
        NoDiskSpace: the disk is full; nothing is left of either.
    """
    if received.format == "txt" and received.compression is None:
        return received
    try:
        with _aside(storage) as path, path.open("xb") as file:
            source.seek(0)
            shutil.copyfileobj(source, file, COPIED_BYTES)
            file.flush()
            os.fsync(file.fileno())
            size_bytes = file.tell()
    except BaseException:
        received.remove()
        raise
    return replace(received, original=path, original_bytes=size_bytes)


def _format_of(said: Said, head: bytes) -> Format:
    name = (said.filename or "").lower()
    for ending in (".gz", ".zst"):
        name = name.removesuffix(ending)
    by_name = next((kept_as for ending, kept_as in ENDINGS.items() if name.endswith(ending)), None)
    found: Format = said.format or by_name or "txt"
    if head.startswith(PARQUET_START) and said.format is None:
        return "parquet"
    if found == "parquet" and not head.startswith(PARQUET_START):
        raise UnsupportedFormat("file: it does not begin as Parquet files do", param="file")
    refuse_binary(head, "file")
    return found


@contextmanager
def _aside(storage: Storage) -> Generator[Path]:
    """A place in scratch, which is empty again if anything is raised."""
    path = storage.scratch / new_id("upload")
    try:
        yield path
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoDiskSpace("file: there is no room for it on the disk", param="file") from error
        raise


def _joined(head: bytes, content: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from content


def _text(content: Iterable[bytes], file: BinaryIO, path: Path, compression: str | None) -> Received:
    reader = TextReader()
    for chunk in content:
        reader.take(chunk)
        file.write(chunk)
    reader.finish()
    report = {"lines": reader.lines, "byte_order_mark": reader.has_byte_order_mark}
    return Received(path, "txt", compression, reader.size_bytes, reader.sha256, reader.characters, report)


class _Measured(Iterator[bytes]):
    """Counts and hashes what goes through."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content
        self.size_bytes = self.lines = 0
        self.hash = hashlib.sha256()
        self._last = b"\n"

    def __next__(self) -> bytes:
        chunk = next(self._content)
        self.size_bytes += len(chunk)
        self.lines += chunk.count(b"\n")
        self.hash.update(chunk)
        self._last = chunk[-1:]
        return chunk

    @property
    def all_lines(self) -> int:
        return self.lines + (self._last != b"\n")


def _rows(
    storage: Storage, content: Iterator[bytes], file: BinaryIO, what: tuple[Path, Format, str | None], max_bytes: int
) -> Received:
    path, kept_as, compression = what
    measured, written = _Measured(content), _Written()
    try:
        if kept_as == "parquet":
            with _on_disk(storage, measured) as whole, parquet_rows(whole) as table:
                written.write(file, table, max_bytes)  # Parquet packs a million equal rows in a byte
        else:
            lines = numbered_lines(measured)
            table = read_jsonl(lines) if kept_as == "jsonl" else read_csv(lines)
            written.write(file, table, _AS_JSON * max_bytes)
    except BadTable as error:
        raise InvalidFile(f"file: {error}", param="file") from error
    report = {
        "lines": written.rows if kept_as == "parquet" else measured.all_lines,
        "byte_order_mark": False,
        "bad_rows": written.bad_rows,
        "errors": written.errors,
    }
    columns = [asdict(column) | {"type": column.type} for column in written.columns.found()]
    return Received(
        path=path,
        format=kept_as,
        compression=compression,
        size_bytes=measured.size_bytes,
        sha256=measured.hash.hexdigest(),
        characters=sum(column["characters"] for column in columns),
        report=report,
        kind=kind_of([column["name"] for column in columns]),
        rows=written.rows,
        columns=columns,
    )


@contextmanager
def _on_disk(storage: Storage, content: Iterable[bytes]) -> Generator[Path]:
    """The content as a file, for a format that is read from its end; gone afterwards."""
    with _aside(storage) as path:
        with path.open("xb") as file:
            file.writelines(content)
        yield path
        path.unlink()


class _Written:
    """The rows of a table, written in the kept form and counted."""

    def __init__(self) -> None:
        self.rows = self.bad_rows = 0
        self.errors: list[dict[str, Any]] = []
        self.columns = Columns()

    def write(self, file: BinaryIO, table: Table, most_bytes: int) -> None:
        """Write them all.

        Raises:
            BadTable: there is none that can be used, most of very many cannot, or the reader says so.
            TooLarge: they take more than `most_bytes` in the kept form.
        """
        writer = RowWriter(file, table.columns)
        for row in table.rows:
            if isinstance(row, BadRow):
                self._note(row)
                continue
            self.columns.count(row)
            writer.write(row)
            self.rows += 1
            if writer.size_bytes > most_bytes:
                raise TooLarge(f"file: its rows are more than the {most_bytes:,} bytes of one dataset", param="file")
        if not self.rows:
            raise BadTable(f"there is no row in it{self._first}")

    def _note(self, row: BadRow) -> None:
        self.bad_rows += 1
        if len(self.errors) < KEPT_ERRORS:
            self.errors.append(row._asdict())
        if self.bad_rows > max(MAX_BAD_ROWS, self.rows):
            raise BadTable(f"{self.bad_rows:,} rows of it cannot be used, more than can{self._first}")

    @property
    def _first(self) -> str:
        return f"; line {self.errors[0]['line']}: {self.errors[0]['reason']}" if self.errors else ""


def _of_kind(received: Received, kind: str | None) -> Received:
    """The same, of the kind that was said."""
    if kind is None or kind == received.kind:
        return received
    asked = next(known for known in ROLES if known == kind)
    names = [column["name"] for column in received.columns]
    if roles(asked, names) is None:
        needed = " and ".join(f"{role} ({', '.join(names)})" for role, names in ROLES[asked].items())
        told = f"{asked} needs columns for {needed}; there are {', '.join(names[:20])}"
        raise InvalidRequest(f"kind: {told}", param="kind")
    return replace(received, kind=asked)
