"""Datasets: put in their places, listed, looked into, deleted. The bytes lie in a file named by the id."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from sqlalchemy.orm import Session

from app.db.base import new_id
from app.db.owned import owner_of_new
from app.db.session import after_commit, on_failure
from app.db.tables import dataset as rows
from app.db.tables import job as jobs
from app.db.tables.dataset import NEWEST_FIRST, DatasetRow, Order
from app.db.tables.job_list import datasets_of
from app.errors import Conflict, DataMissing, DatasetNotFound, InvalidRequest
from app.llm.data.rows import Row, read_rows
from app.services.ownership import check_may_change
from app.services.receiving import Received, Said, receive
from app.services.storage import NAME, Storage

CHUNK_BYTES = 1 << 20
MAX_NAME_CHARACTERS = 200
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
BUILT_IN = ("better-answers.jsonl", "ferry-messages.csv", "small-tasks.jsonl", "the-tide-clock.txt")
"""Files of samples/ that ship: preferences, labelled messages, instructions, a story. An id is a name without its end.

The last one is the first in lists."""


def register(
    session: Session, storage: Storage, received: Received, name: str, purpose: str = "fine-tune"
) -> DatasetRow:
    """Make a received file a dataset: its file takes its place, then its row is written."""
    dataset_id = new_id("ds")
    row = _row(dataset_id, name, "upload", received)
    row.purpose = purpose
    row.owner = owner_of_new(session)
    place, original = storage.dataset(dataset_id), storage.original(dataset_id)
    on_failure(session, received.remove)
    on_failure(session, lambda: place.unlink(missing_ok=True))
    on_failure(session, lambda: original.unlink(missing_ok=True))
    session.add(row)
    session.flush()
    _put(received.path, place)
    if received.original is not None:
        _put(received.original, original)
    return row


def register_builtin(session: Session, storage: Storage) -> None:
    """See to it that the files that ship are datasets, with the content that ships."""
    for name in BUILT_IN:
        with (SAMPLES / name).open("rb") as source:
            received = receive(storage, source, 1 << 30, Said(filename=name))
        dataset_id = name.rpartition(".")[0]
        row = rows.get(session, dataset_id)
        if row is not None and row.sha256 == received.sha256 and storage.dataset(dataset_id).exists():
            received.path.unlink()
            continue
        session.merge(_row(dataset_id, name, "builtin", received))
        session.flush()
        _put(received.path, storage.dataset(dataset_id))


def read(session: Session, dataset_id: str, param: str | None = None) -> DatasetRow:
    """One dataset; `param` is the field of the request that named it.

    Raises:
        DatasetNotFound: there is none of that id.
    """
    row = rows.get(session, dataset_id) if NAME.fullmatch(dataset_id) else None
    if row is None:
        told = f"{param}: " if param else ""
        raise DatasetNotFound(f"{told}there is no dataset {dataset_id[:200]!r}; GET /datasets lists them", param=param)
    return row


def page(session: Session, after: str | None, limit: int, order: Order = NEWEST_FIRST) -> tuple[list[DatasetRow], bool]:
    """Up to `limit` datasets, those behind the one with the id `after`, and whether more follow.

    Raises:
        DatasetNotFound: `after` names none.
    """
    last = None if after is None else read(session, after, param="after")
    found = rows.in_order(session, last, limit + 1, order)
    return found[:limit], len(found) > limit


def characters(storage: Storage, row: DatasetRow, start: int, count: int) -> str:
    """`count` characters of a dataset from `start` on, or what is left of it.

    Raises:
        DataMissing: its file is gone.
    """
    with opened(storage, row) as binary, TextIOWrapper(binary, encoding="utf-8", newline="") as file:
        while start > 0 and (passed := file.read(min(start, CHUNK_BYTES))):
            start -= len(passed)
        return file.read(count)


def rows_of(storage: Storage, row: DatasetRow, after: int = 0) -> Iterator[Row]:
    """The rows of a dataset that begin behind line `after` of its file, read while they are asked for.

    Raises:
        DataMissing: its file is gone.
    """
    with opened(storage, row) as file:
        yield from read_rows(file, column_names(row), after)


def kept_bytes(storage: Storage, row: DatasetRow) -> int:
    """Bytes of a dataset's file as it is kept, which are those of a Parquet file unpacked.

    Raises:
        DataMissing: it is gone.
    """
    with opened(storage, row) as file:
        return os.fstat(file.fileno()).st_size


def as_sent(storage: Storage, row: DatasetRow) -> Path:
    """Where the very bytes lie that a dataset was uploaded with.

    Raises:
        DataMissing: the file is gone, or only its rows were kept.
    """
    if row.source == "builtin":
        place = SAMPLES / row.name
    else:
        is_as_sent = row.format == "txt" and row.compression is None
        place = storage.dataset(row.id) if is_as_sent else storage.original(row.id)
    if not place.exists():
        told = (
            f"the file of {row.label} is not there as it was sent; what is kept of it is at /datasets/{row.id}/preview"
        )
        raise DataMissing(told)
    return place


def column_names(row: DatasetRow) -> list[str]:
    return [column["name"] for column in row.columns]


def check_text(row: DatasetRow, param: str) -> None:
    """Pass a text.

    Raises:
        InvalidRequest: the dataset is rows.
    """
    if row.rows is not None:
        raise InvalidRequest(f"{param}: {row.label} is rows ({row.kind}), not a text", param=param)


@contextmanager
def opened(storage: Storage, row: DatasetRow) -> Generator[BinaryIO]:
    """A dataset's file as it is kept.

    Raises:
        DataMissing: it is gone.
    """
    try:
        file = storage.dataset(row.id).open("rb")
    except FileNotFoundError as error:
        raise DataMissing(f"the file of dataset {row.label} is gone from the data directory") from error
    with file:
        yield file


def delete(session: Session, storage: Storage, dataset_id: str) -> None:
    """Remove a dataset, its file, and what was made of it to train faster.

    Raises:
        DatasetNotFound: there is none.
        Conflict: it ships with Inkling, or an unfinished job needs it.
        MissingScope: it is nobody's.
    """
    row = rows.lock(session, dataset_id) if NAME.fullmatch(dataset_id) else None
    if row is None:
        row = read(session, dataset_id)
    if row.source == "builtin":
        raise Conflict(f"{row.label} ships with Inkling and stays")
    check_may_change(session, row.owner)
    for job in jobs.live(session):
        if row.id in datasets_of(job):
            raise Conflict(f"{row.label} is needed by job {job.id}, which is {job.status}")
    session.delete(row)
    file, original, tokens = storage.dataset(row.id), storage.original(row.id), storage.tokens(row.id)
    after_commit(session, lambda: file.unlink(missing_ok=True))
    after_commit(session, lambda: original.unlink(missing_ok=True))
    after_commit(session, lambda: shutil.rmtree(tokens, ignore_errors=True))


def display_name(name: str | None, filename: str | None) -> str:
    """What a dataset is called: the name given, else the file's, without folders, controls, and what is too long."""
    wanted = name or (filename or "").replace("\\", "/").rpartition("/")[2]
    shown = "".join(c for c in wanted if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    return shown.strip()[:MAX_NAME_CHARACTERS] or "upload"


def _row(dataset_id: str, name: str, source: str, received: Received) -> DatasetRow:
    return DatasetRow(
        id=dataset_id,
        name=name,
        kind=received.kind,
        format=received.format,
        compression=received.compression,
        source=source,
        size_bytes=received.size_bytes,
        original_bytes=received.original_bytes,
        characters=received.characters,
        rows=received.rows,
        columns=received.columns,
        sha256=received.sha256,
        report=received.report,
    )


def _put(received: Path, place: Path) -> None:
    received.chmod(0o600)
    received.replace(place)
