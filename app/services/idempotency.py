"""The key that a client gives a request, so that sending it twice does it once. It is kept with the job it made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.db.tables import job
from app.db.tables.job import JobRow
from app.errors import IdempotencyKeyReused, InvalidRequest

HEADER = "Idempotency-Key"
MAX_CHARACTERS = 255


@dataclass(frozen=True)
class Key:
    text: str
    request_sha256: str


def read(text: str, body: BaseModel, beside: Mapping[str, Any] | None = None) -> Key:
    """The key, with what it stands for: the fields as they were given, in whatever order and spacing.

    Args:
        beside: what else was asked for; None: nothing.

    Raises:
        InvalidRequest: it is empty, too long, or has a character that is not printable ASCII.
    """
    if not (0 < len(text) <= MAX_CHARACTERS and all(" " <= character <= "~" for character in text)):
        told = f"1 to {MAX_CHARACTERS} printable ASCII characters are expected"
        raise InvalidRequest(f"{HEADER}: {told}", param=HEADER)
    given = body.model_dump(mode="json", exclude_unset=True)
    asked = json.dumps([given, beside] if beside else given, sort_keys=True)
    return Key(text, hashlib.sha256(asked.encode()).hexdigest())


def earlier(session: Session, key: Key) -> JobRow | None:
    """The job that the same request has made; None if none has come.

    Raises:
        IdempotencyKeyReused: another request has.
    """
    row = job.of_key(session, key.text)
    if row is not None and row.request_sha256 != key.request_sha256:
        told = f"{HEADER}: {key.text!r} came before with another body, and made {row.id}"
        raise IdempotencyKeyReused(told, param=HEADER)
    return row
