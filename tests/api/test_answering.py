"""Clients that read too slowly, or not at all: they are let go of, and cost the others nothing."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from app.config import Settings
from app.db.session import Database
from tests.fakes import ScriptedModel, eventually, greedy, scripted_runtime
from tests.serving import app_of, served


def sent(port: int, body: dict[str, object]) -> socket.socket:
    """A connection on which a body was sent."""
    content = json.dumps(body).encode()
    head = f"POST /generate HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(head.encode() + b"\r\n\r\n" + content)
    return client


def test_two_hundred_clients_that_hang_up_at_once_leave_nothing(settings: Settings, database: Database) -> None:
    runtime = scripted_runtime(settings, database, ScriptedModel("x" * 500, pass_s=0.01))
    loop = runtime.models.get().loop
    with served(app_of(runtime)) as port:

        def come_and_go(number: int) -> None:
            sent(port, greedy(max_new_tokens=400, stream=number % 2 == 0)).close()

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(come_and_go, range(200)))
        answer = httpx.post(f"http://127.0.0.1:{port}/generate", json=greedy(max_new_tokens=3), timeout=30)
        assert answer.json()["choices"][0]["text"] == "xxx"
        eventually(lambda: (loop.running, loop.waiting) == (0, 0))
    loop._engine.check_integrity()
    assert loop._engine.reserved_tokens == 0
    runtime.models.close()


def test_a_client_that_reads_one_byte_a_second_keeps_nobody_waiting(settings: Settings, database: Database) -> None:
    """Its text is written to the end into a bounded stream, and the engine is free; what it reads is whole."""
    runtime = scripted_runtime(settings, database, ScriptedModel("x" * 500))
    loop = runtime.models.get().loop
    with served(app_of(runtime)) as port, sent(port, greedy(max_new_tokens=400, stream=True)) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        read = b""
        for _ in range(3):
            read += slow.recv(1)
            started = time.monotonic()
            answer = httpx.post(f"http://127.0.0.1:{port}/generate", json=greedy(max_new_tokens=50), timeout=30)
            assert answer.json()["choices"][0]["text"] == "x" * 50
            time.sleep(max(0.0, 1.0 - (time.monotonic() - started)))
        eventually(lambda: (loop.running, loop.waiting) == (0, 0), 10)
        while b"data: [DONE]" not in read:
            piece = slow.recv(65536)
            assert piece, read[-200:]
            read += piece
        assert read.count(b'"text":"x"') >= 400
    loop._engine.check_integrity()
    runtime.models.close()
