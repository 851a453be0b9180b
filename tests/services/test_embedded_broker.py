"""The filesystem transport under many hands: no message half-read, none twice, none lost."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import Empty
from typing import Any

import pytest
from celery import Celery

from app.config import Settings
from app.services.queue import NUDGE, make_celery

SEND = """
import sys
from pathlib import Path
from app.config import Settings
from app.services.queue import NUDGE, make_celery
celery = make_celery(Settings(_env_file=None, data_dir=Path(sys.argv[1]), broker_url=""))
for number in range(100):
    celery.send_task(NUDGE, args=[f"{sys.argv[2]}-{number}"])
"""


def take_all(celery: Celery, senders: list[subprocess.Popen[bytes]]) -> list[str]:
    """Read until every sender has ended and nothing is left."""
    found: list[str] = []
    with celery.connection() as connection:
        channel = connection.default_channel
        while True:
            over = all(sender.poll() is not None for sender in senders)
            try:
                message: dict[str, Any] = channel._get("inkling")
            except Empty:
                if over:
                    return found
                continue
            found.append(message["headers"]["argsrepr"])


def test_every_message_of_several_processes_is_read_once(settings: Settings) -> None:
    celery = make_celery(settings)
    senders = [subprocess.Popen([sys.executable, "-c", SEND, str(settings.data_dir), name]) for name in ("a", "b", "c")]
    with ThreadPoolExecutor(3) as pool:
        found = [one for part in pool.map(lambda _: take_all(celery, senders), range(3)) for one in part]
    assert [sender.returncode for sender in senders] == [0, 0, 0]
    assert len(found) == 300
    assert len(set(found)) == 300


def test_messages_come_in_the_order_in_which_they_were_sent(settings: Settings) -> None:
    celery = make_celery(settings)
    for number in range(5):
        celery.send_task(NUDGE, args=[str(number)])
    assert take_all(celery, []) == [f"['{number}']" for number in range(5)]


def test_a_file_that_is_no_message_is_passed_over(settings: Settings) -> None:
    celery = make_celery(settings)
    (settings.data_dir / "queue" / "messages" / "0.inkling.msg").write_text('{"half')
    celery.send_task(NUDGE, args=["job_1"])
    with celery.connection() as connection:
        channel = connection.default_channel
        with pytest.raises(Empty):
            channel._get("inkling")
        assert "job_1" in channel._get("inkling")["headers"]["argsrepr"]


def test_only_the_owner_may_look_into_the_queue(settings: Settings) -> None:
    make_celery(settings)
    assert (settings.data_dir / "queue" / "messages").stat().st_mode & 0o077 == 0
