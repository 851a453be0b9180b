"""Delivers what the outbox holds: signed as Standard Webhooks say, at least once, again and again at growing distances.

Each attempt carries the same `webhook-id`, by which a receiver knows a message that it has already.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
import time
from collections.abc import Callable
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.config import Settings
from app.db.session import Database
from app.db.tables import event, job, webhook
from app.db.tables.webhook import WebhookRow
from app.errors import InvalidRequest
from app.log import get_logger
from app.schemas.job import WebhookSpec
from app.services import addresses, outgoing
from app.services.addresses import BadAddress, Unreachable

log = get_logger(__name__)

PREFIX = "whsec_"
SECRET_BYTES = (24, 64)
AGAIN_AFTER_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 4 * 3600.0, 12 * 3600.0)
"""Waits before further attempts; after the last one the message is given up."""
TAKEN_FOR_S = 60.0  # longer than an attempt takes
LOOK_EVERY_S = 1.0
GONE = 410  # the receiver wants no more of it


class Post(Protocol):
    def __call__(self, url: str, body: bytes, headers: dict[str, str], *, private: bool) -> int: ...


def check(settings: Settings, spec: WebhookSpec) -> None:
    """Pass an address that may be called, and a secret of the standard's form.

    Raises:
        InvalidRequest: it is another.
    """
    if spec.secret is not None:
        _key(spec.secret)
    try:
        addresses.check(spec.url, private=settings.webhook_private_addresses)
    except BadAddress as error:
        raise InvalidRequest(f"webhook.url: {error}", param="webhook.url") from error


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, hashlib.sha256)).decode()


def _key(secret: str) -> bytes:
    least, most = SECRET_BYTES
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not (secret.startswith(PREFIX) and least <= len(key) <= most):
        told = f"{PREFIX} and {least} to {most} bytes in base 64 are expected"
        raise InvalidRequest(f"webhook.secret: {told}", param="webhook.secret")
    return key


class Deliveries:
    """One who delivers; any number may, each message is taken by one at a time."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        post: Post = outgoing.post,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._private = settings.webhook_private_addresses
        self._database, self._post, self._clock = database, post, clock

    def run(self, stopping: threading.Event) -> None:
        """Deliver until `stopping` is set. A database that is away for a while is waited for."""
        while not stopping.is_set():
            try:
                found = self.deliver_one()
            except SQLAlchemyError as error:
                log.error("webhooks_not_delivered", error=str(error))
                found = False
            if not found:
                stopping.wait(LOOK_EVERY_S)

    def deliver_one(self) -> bool:
        """Try the message that is due the longest; False where none is."""
        with self._database.read() as session:
            if not webhook.is_due(session):
                return False
        with self._database.write() as session:
            message = webhook.take_due(session, TAKEN_FOR_S)
        if message is None:  # another was faster
            return False
        try:
            status = self._send(message)
            failure = None if 200 <= status < 300 else f"it answered {status}"
        except (BadAddress, Unreachable) as error:
            status, failure = 0, str(error)
        log.info("webhook_sent", job_id=message.job_id, message_id=message.id, status=status, failure=failure)
        with self._database.write() as session:
            row = webhook.hold(session, message.id, message.attempts)
            if row is not None:
                _settle(session, row, status, failure)
        return True

    def _send(self, message: WebhookRow) -> int:
        body, timestamp = message.body.encode(), int(self._clock())
        headers = {"webhook-id": message.id, "webhook-timestamp": str(timestamp)}
        if message.secret is not None:
            headers["webhook-signature"] = sign(message.secret, message.id, timestamp, body)
        return self._post(message.url, body, headers, private=self._private)


def _settle(session: Session, row: WebhookRow, status: int, failure: str | None) -> None:
    """Take a message that is delivered, or given up, out of the outbox; put another off. The job's events tell."""
    data = {"webhook": row.id, "attempt": row.attempts, "status": status or None}
    is_last = row.attempts > len(AGAIN_AFTER_S) or status == GONE
    if failure is None:
        level, told = "info", f"webhook delivered, attempt {row.attempts}"
    elif is_last:
        level, told = "error", f"webhook given up, attempt {row.attempts}: {failure}"
    else:
        wait_s = AGAIN_AFTER_S[row.attempts - 1]
        level, told = "warn", f"webhook not delivered, again in {wait_s:g} s: {failure}"
        webhook.put_off(row, wait_s)
    if job.get(session, row.job_id) is not None:
        event.add(session, row.job_id, "message", told, level=level, data=data)
    if failure is None or is_last:
        session.delete(row)
