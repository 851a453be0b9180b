"""Requests to strangers' addresses: where they may lead, and where they really go."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from app.services import outgoing
from app.services.addresses import BadAddress, Unreachable, check
from app.services.outgoing import Bounds, Way, post


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what comes; answers as it is told to."""

    status, delay_s = 200, 0.0
    seen: list[tuple[str, dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        time.sleep(self.delay_s)
        self.send_response(self.status)
        self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None: ...


@pytest.fixture
def receiver() -> Iterator[tuple[type[Receiver], str]]:
    kind = type("Kind", (Receiver,), {"seen": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield kind, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/", "http://localhost:80/", "http://[::1]/", "http://2130706433/", "http://0x7f.1/", "http://0/"],
)
def test_this_machine_is_refused_however_it_is_written(url: str) -> None:
    with pytest.raises(BadAddress):
        check(url, private=False)
    with pytest.raises((BadAddress, Unreachable)):
        post(url, b"", {}, private=False)


def test_a_name_that_leads_both_ways_is_refused(monkeypatch) -> None:
    answers = [(2, 1, 6, "", ("93.184.215.14", 80)), (2, 1, 6, "", ("192.168.0.7", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_named: answers)
    with pytest.raises(BadAddress, match=r"192\.168\.0\.7"):
        check("http://example.org/", private=False)


def test_a_name_without_an_address_is_told() -> None:
    with pytest.raises(BadAddress, match="has no address"):
        check("http://no-such-host.invalid/", private=False)
    with pytest.raises(Unreachable, match="has no address"):
        post("http://no-such-host.invalid/", b"", {}, private=True)


def test_a_body_arrives_as_it_is(receiver) -> None:
    kind, url = receiver
    assert post(f"{url}/a/b?c=d", b"\x00body", {"x-own": "1"}, private=True) == 200
    ((path, headers, body),) = kind.seen
    assert (path, body) == ("/a/b?c=d", b"\x00body")
    assert headers["x-own"] == "1"
    assert headers["host"] == url.removeprefix("http://")
    assert headers["content-type"] == "application/json"


def test_no_redirect_is_followed(receiver) -> None:
    kind, url = receiver
    kind.status = 307
    assert post(url, b"{}", {}, private=True) == 307
    assert len(kind.seen) == 1


def test_the_connection_goes_to_the_address_that_was_judged(receiver, monkeypatch) -> None:
    """A name that answers with a public address first and this machine's later."""
    kind, url = receiver
    port = int(url.rpartition(":")[2])
    answers = iter(["127.0.0.1"])  # a second question would have no answer
    real = socket.getaddrinfo

    def resolve(host: object, *arguments: object, **named: object) -> object:
        return real(next(answers) if host == "hooks.example" else host, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert post(f"http://hooks.example:{port}/", b"{}", {}, private=True) == 200
    assert kind.seen[0][1]["host"] == f"hooks.example:{port}"


def test_one_that_does_not_answer_in_time_is_left(receiver) -> None:
    kind, url = receiver
    kind.delay_s = 3.0
    started = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 0\.5 s"):
        post(url, b"{}", {}, private=True, total_s=0.5)
    assert time.monotonic() - started < 2.5


def test_one_that_is_not_there_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(Unreachable, match="ConnectError"):
        post(f"http://127.0.0.1:{port}/", b"{}", {}, private=True)


def test_no_proxy_stands_between(receiver, monkeypatch) -> None:
    _kind, url = receiver
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert post(url, b"{}", {}, private=True) == 200
    assert outgoing.TOTAL_S > 1


class Fetched(http.server.BaseHTTPRequestHandler):
    """Answers whatever is fetched with the line that asked for it."""

    def do_GET(self) -> None:
        body = self.requestline.encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None: ...


@pytest.fixture
def fetched() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fetched)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


BOUNDS = Bounds(max_bytes=1000, total_s=5.0)


def test_a_fetch_goes_through_the_proxy_of_the_settings_alone(fetched: str, monkeypatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with outgoing.client(Way(private=True), BOUNDS) as client:
        assert client.get(f"{fetched}/a").text == "GET /a HTTP/1.1"
    with outgoing.client(Way(proxy=fetched), BOUNDS) as client:
        assert client.get("http://hub.invalid/a").text == "GET http://hub.invalid/a HTTP/1.1"


def test_an_answer_of_more_bytes_is_not_taken(fetched: str) -> None:
    with outgoing.client(Way(private=True), Bounds(20, 5.0)) as client, pytest.raises(Unreachable, match="20 bytes"):
        client.get(f"{fetched}/{'a' * 30}")


def test_where_one_address_does_not_answer_the_next_is_asked(fetched: str, monkeypatch) -> None:
    """As of a machine without IPv6, which resolves names to it all the same."""
    port = int(fetched.rpartition(":")[2])
    answers = [(2, 1, 6, "", (one, port)) for one in ("127.0.0.9", "127.0.0.1")]
    real = socket.getaddrinfo
    known = {"two.example": answers}
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **named: known.get(host) or real(host, *rest, **named)
    )
    with outgoing.client(Way(private=True), BOUNDS) as client:
        assert client.get(f"http://two.example:{port}/").text == "GET / HTTP/1.1"
