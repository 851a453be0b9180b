"""Sessions of pages: a signed note of whose key a browser signed in with, so that the key itself stays nowhere.

Nothing is kept here: a session ends by itself, with its key, or by what `ended_sessions` notes.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from itsdangerous import BadSignature, URLSafeTimedSerializer

from app.errors import NotReady

LIFETIME_S = 12 * 3600
LONGEST = 1000  # characters of a session; ours have less than 200
SECRET_BYTES = 32


@dataclass(frozen=True)
class PageSession:
    key_id: str
    id: str
    """A hash of what only its browser has."""
    csrf: str
    """What a page must show beside the session, which a browser sends by itself."""


class Sessions:
    """Signs and reads sessions, with a secret that all servers of a data directory share. Made when first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, key_id: str) -> str:
        return self._signer.dumps([key_id, secrets.token_urlsafe(16)])

    def read(self, signed: str) -> PageSession | None:
        """None for what is not ours, or too old."""
        if len(signed) > LONGEST or not signed.isascii():
            return None
        try:
            key_id, nonce = self._signer.loads(signed, max_age=LIFETIME_S)
        except BadSignature:
            return None
        csrf = hmac.new(self._secret, f"csrf {nonce}".encode(), hashlib.sha256).hexdigest()
        return PageSession(key_id, hashlib.sha256(f"{key_id} {nonce}".encode()).hexdigest(), csrf)

    @cached_property
    def _signer(self) -> URLSafeTimedSerializer:
        return URLSafeTimedSerializer(
            self._secret, salt="page session", signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"}
        )

    @cached_property
    def _secret(self) -> bytes:
        if not self._path.exists():
            self._make()
        found = self._path.read_bytes()
        if len(found) != SECRET_BYTES:
            raise NotReady(
                f"{self._path.name} in the data directory is damaged; delete it, and everybody signs in anew"
            )
        return found

    def _make(self) -> None:
        """Whole at once, and never over another server's."""
        aside = self._path.with_name(f"{self._path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
        with suppress(FileExistsError):
            os.link(aside, self._path)
        aside.unlink()
