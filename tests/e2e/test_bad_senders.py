"""The service as it is started, and clients that mean it no good: it goes on answering, and lets go of them."""

from __future__ import annotations

import gzip
import io
import socket
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import psutil
import pytest

from tests.e2e.conftest import Service, start_service
from tests.fakes import eventually

pytestmark = pytest.mark.e2e

MIB = 1024 * 1024
BOUNDARY = "----part"


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("bad")
    started = start_service(folder, "serve", is_bare=True, max_upload_bytes=str(64 * MIB))
    yield started
    assert started.stop() == 0
    told = started.log.read_text()
    assert "Traceback" not in told, told[-5000:]


def resident_bytes(web: Service) -> int:
    return int(psutil.Process(web.process.pid).memory_info().rss)


def connections(web: Service) -> int:
    found = psutil.Process(web.process.pid).net_connections("tcp")
    return sum(each.laddr.port == port_of(web) and each.status != psutil.CONN_LISTEN for each in found)


def port_of(web: Service) -> int:
    return int(web.url.rpartition(":")[2])


def multipart(parts: int) -> bytes:
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="x%d"\r\n\r\n1\r\n'
    return "".join(part % number for number in range(parts)).encode() + f"--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("path", ["/datasets", "/v1/files", "/models/upload", "/ui/datasets"])
def test_a_hundred_thousand_parts_are_not_read(web: Service, path: str) -> None:
    body = multipart(100_000)
    started = time.monotonic()
    answer = httpx.post(
        f"{web.url}{path}",
        content=body,
        headers={"content-type": f"multipart/form-data; boundary={BOUNDARY}"},
        timeout=60,
    )
    assert 400 <= answer.status_code < 500
    assert time.monotonic() - started < 10


def test_a_form_of_a_hundred_thousand_fields_is_not_read(web: Service) -> None:
    body = "&".join(f"x{number}=1" for number in range(100_000))
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = httpx.post(f"{web.url}/ui/generate", content=body, headers=headers, timeout=60)
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize("packed", ["gzip", "br", "deflate", "gzip, identity"])
def test_a_packed_body_is_not_unpacked(web: Service, packed: str) -> None:
    bomb = gzip.compress(b" " * 100 * MIB)
    headers = {"content-type": "application/json", "content-encoding": packed}
    answer = httpx.post(f"{web.url}/tokenize", content=bomb, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_format")


def test_bombs_among_uploads_are_refused_and_leave_nothing(web: Service) -> None:
    """A gigabyte of spaces in a megabyte; a zip file, which nobody asked for."""
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=1) as file:
        for _ in range(1024):
            file.write(b" " * MIB)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.txt", b" " * 50 * MIB)
    before = resident_bytes(web)
    for name, content, code in (
        ("bomb.txt.gz", packed.getvalue(), "too_large"),
        ("bomb.jsonl.gz", packed.getvalue(), "invalid_file"),
        ("bomb.zip", zipped.getvalue(), "unsupported_format"),
    ):
        answer = httpx.post(f"{web.url}/datasets", files={"file": (name, content)}, timeout=120)
        assert 400 <= answer.status_code < 500, answer.text
        assert answer.json()["error"]["code"] == code
    assert resident_bytes(web) - before < 150 * MIB


def test_those_that_stall_are_let_go_and_what_they_sent_with_them(web: Service) -> None:
    """With the bounds that the service has: fifteen seconds for a head, half a minute for a piece of a body.

    What a first round leaves is the allocator's; a second one adds nothing.
    """
    _stall(web)
    before = resident_bytes(web)
    _stall(web)
    eventually(lambda: resident_bytes(web) - before < 30 * MIB, 20)


def _stall(web: Service) -> None:
    """Heads and bodies that do not end, and answers that nobody reads, until the service has hung up on all."""
    half_head = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 30_000
    half_body = (
        b"POST /tokenize HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        b"content-length: 4000000\r\n\r\n" + b"a" * 2_000_000
    )
    unread = b"GET /static/plotly/plotly.min.js HTTP/1.1\r\nhost: localhost\r\n\r\n" * 5
    with ExitStack() as stack:
        for sent, count in ((half_head, 200), (half_body, 40), (unread, 20)):
            for _ in range(count):
                client = socket.create_connection(("127.0.0.1", port_of(web)), timeout=30)
                stack.enter_context(client)
                client.sendall(sent)
        started = time.monotonic()
        assert connections(web) > 200
        while connections(web) > 0:
            assert httpx.get(f"{web.url}/healthz", timeout=20).status_code == 200
            assert time.monotonic() - started < 110, f"{connections(web)} connections are still held"
            time.sleep(1)
