"""Keys: who may call the service, and what for. A key is told once, when it is made; what is kept is its SHA-256.

A secret is 256 random bits, which nobody can try out, whatever the hash costs: a slow one protects passwords, which
people choose, and would here only slow every request down.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from app.db.base import new_id
from app.db.session import UNAVAILABLE, Database, Session
from app.db.tables import api_key as rows
from app.db.tables.api_key import ApiKeyRow
from app.errors import InvalidRequest, KeyNotFound, NameTaken
from app.log import get_logger
from app.services import audit
from app.services.audit import Deed
from app.services.storage import NAME

log = get_logger(__name__)

Scope = Literal["read", "generate", "train", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
USUAL_SCOPES: tuple[Scope, ...] = ("read", "generate", "train")
FIRST = "first-admin"
"""The name of the key that a first start makes."""

REMEMBERED_S = 5.0
"""How long a key that was looked up is believed without asking the database: a revoked one may work so long."""
REMEMBERED = 1024
TOUCHED_EVERY_S = 60.0

_PREFIX_CHARACTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
_KEY = re.compile(r"(inkling_[0-9a-z]{8})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Caller:
    """Whose request it is."""

    key_id: str
    scopes: frozenset[str]

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True)
class Made:
    """A key just made. `secret` is told now or never."""

    row: ApiKeyRow
    secret: str


def create(session: Session, name: str, scopes: Sequence[str] = USUAL_SCOPES) -> Made:
    """Make a key.

    Raises:
        InvalidRequest: the name is none, or a scope is unknown.
        NameTaken: a key that is not revoked is called so.
    """
    if not NAME.fullmatch(name):
        raise InvalidRequest("name: letters, digits, dots, dashes and underscores, at most 96", param="name")
    for unknown in set(scopes) - set(SCOPES):
        raise InvalidRequest(f"scopes: {unknown!r} is none of {', '.join(SCOPES)}", param="scopes")
    if not scopes:
        raise InvalidRequest("scopes: a key without any may do nothing", param="scopes")
    rows.keep_others_out(session)
    if rows.live(session, name):
        raise NameTaken(f"there is a key called {name}; revoke it first, or choose another name", param="name")
    prefix = "inkling_" + "".join(secrets.choice(_PREFIX_CHARACTERS) for _ in range(8))
    secret = f"{prefix}_{secrets.token_urlsafe(32)}"
    kept = [scope for scope in SCOPES if scope in scopes]
    row = ApiKeyRow(id=new_id("key"), prefix=prefix, sha256=_digest(secret).hex(), name=name, scopes=kept)
    session.add(row)
    session.flush()
    audit.add(session, Deed("key.create", resource=row.id))
    return Made(row, secret)


def create_first(session: Session) -> Made | None:
    """An admin's key where there was never any, however many servers start together."""
    rows.keep_others_out(session)
    return None if rows.are_there_any(session) else create(session, FIRST, ["admin"])


def list_all(session: Session) -> list[ApiKeyRow]:
    """The revoked ones, too, in the order they were made."""
    return rows.all_of_them(session)


def revoke(session: Session, told: str) -> ApiKeyRow:
    """End a key for good; told is its id, its name or how it begins.

    Raises:
        KeyNotFound: none that is not revoked is called so.
    """
    found = rows.live(session, told)
    if not found:
        raise KeyNotFound(f"no key that is not revoked has the id, name or beginning {told!r}")
    for row in found:
        rows.revoke(session, row.id)
        audit.add(session, Deed("key.revoke", resource=row.id))
    return found[0]


class Keys:
    """Tells whose a key is. What it was told lately it believes for `REMEMBERED_S`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._remembered: dict[bytes | str, tuple[float, Caller]] = {}  # by a key's hash, or its id

    def recall(self, key: str) -> Caller | None:
        """Whose it is, if it was looked up a moment ago. Waits for nothing."""
        return self._recalled(_digest(key))

    def recall_id(self, key_id: str) -> Caller | None:
        """As `recall`, of the key with this id."""
        return self._recalled(key_id)

    def was_right(self, key: str) -> bool:
        """Whether it was somebody's when this process saw it last, among the latest it saw. Waits for nothing."""
        return _digest(key) in self._remembered

    def _recalled(self, name: bytes | str) -> Caller | None:
        until, caller = self._remembered.get(name, (0.0, None))
        return caller if time.monotonic() < until else None

    def look_up(self, key: str) -> Caller | None:
        """Whose it is, by the database; None for what is no key, unknown or revoked."""
        shaped = _KEY.fullmatch(key)
        if shaped is None:
            return None
        until, digest = time.monotonic() + REMEMBERED_S, _digest(key)
        with self._database.read() as session:
            row = rows.by_prefix(session, shaped[1])
        if row is None or not hmac.compare_digest(digest, bytes.fromhex(row.sha256)):
            return None
        return self._admitted(row, digest, until)

    def look_up_id(self, key_id: str) -> Caller | None:
        """The holder of the key with this id, by the database; None where it is revoked or was never made."""
        until = time.monotonic() + REMEMBERED_S
        with self._database.read() as session:
            row = rows.get(session, key_id)
        return None if row is None else self._admitted(row, key_id, until)

    def _admitted(self, row: ApiKeyRow, name: bytes | str, until: float) -> Caller | None:
        if row.revoked_at is not None:
            return None
        self._touch(row)
        caller = Caller(row.id, frozenset(row.scopes))
        if len(self._remembered) >= REMEMBERED:
            self._remembered.clear()
        self._remembered[name] = (until, caller)
        return caller

    def _touch(self, row: ApiKeyRow) -> None:
        """Note the use, to the minute. A database that only reads, its disk being full, still lets in who may come."""
        if row.last_used_at is not None and time.time() - row.last_used_at < TOUCHED_EVERY_S:
            return
        try:
            with self._database.write() as session:
                rows.touch(session, row.id)
        except UNAVAILABLE as error:
            log.warning("key_use_not_noted", key=row.id, error=str(error)[:500])


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
