"""An upload from its first byte to a dataset: one way, whichever API it came by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import BinaryIO

from app.db.tables.dataset import DatasetRow
from app.services import datasets, quotas
from app.services.receiving import Said, receive, with_original
from app.services.runtime import Runtime


@dataclass(frozen=True)
class Meant:
    """What a dataset is called and for, beside what is said of its file."""

    name: str | None = None  # None: by the file's
    purpose: str = "fine-tune"


def accept(runtime: Runtime, source: BinaryIO, said: Said, meant: Meant) -> DatasetRow:
    """Read an upload to its end and make it a dataset; the file as it was sent stays, too.

    Raises:
        TooLarge, UnsupportedFormat, InvalidFile, InvalidRequest, NoDiskSpace: as `receive`; nothing is left of it.
        QuotaExceeded: the key has no room for it; nor then.
    """
    with runtime.database.read() as session:
        quotas.check_stored(session, runtime)
    received = receive(runtime.storage, source, runtime.settings.max_upload_bytes, said)
    received = with_original(runtime.storage, source, received)
    with runtime.database.write() as session:
        name = datasets.display_name(meant.name, said.filename)
        row = datasets.register(session, runtime.storage, received, name, meant.purpose)
        quotas.check_stored(session, runtime)
    return row


def said_of(source: BinaryIO, filename: str | None) -> Said:
    """What a file's name says of it; one without an ending that begins as JSONL does is that.

    OpenAI's clients call the bytes of a training file `upload`.
    """
    said = Said(filename)
    if "." in (filename or ""):
        return said
    begins = source.read(1)
    source.seek(0)
    return replace(said, format="jsonl") if begins == b"{" else said
