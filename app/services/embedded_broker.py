"""Celery's filesystem transport, made safe for several processes that read and write its folders at once.

The transport that kombu brings writes a message, and the table of queues, where they can be read half-written; a worker
that does so ends. Here both come into their place whole, by a rename.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from queue import Empty
from time import time_ns
from typing import Any

from kombu.transport import filesystem
from kombu.transport.filesystem import exchange_queue_t

from app.log import get_logger

log = get_logger(__name__)


_Channel: Any = filesystem.Channel  # kombu has no types


class Channel(_Channel):  # type: ignore[misc]  # its base is Any
    def _put(self, queue: str, payload: Any, **_options: Any) -> None:
        # Named by the clock, not by the machine's uptime, so that order survives a restart.
        name = f"{time_ns()}_{secrets.token_hex(8)}.{queue}.msg"
        _write_whole(Path(self.data_folder_out) / name, json.dumps(payload))

    def _get(self, queue: str) -> Any:
        try:
            return super()._get(queue)
        except ValueError as error:  # what is no JSON was not written by us; it lies among the processed ones now
            log.warning("message_unreadable", error=str(error))
            raise Empty from None

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        file = self._exchange_file(exchange)
        binding = exchange_queue_t(routing_key or "", pattern or "", queue or "")
        with _locked(file):
            table = self.get_table(exchange)
            if binding not in table:
                _write_whole(file, json.dumps([binding, *table]))


class Transport(filesystem.Transport):
    Channel = Channel


def _write_whole(path: Path, text: str) -> None:
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    aside.write_text(text)
    aside.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time change `path`."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o600)
    try:
        flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)
