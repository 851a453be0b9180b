"""The table of forgeries: every way out × every address that leads inside, as it is written, resolved or redirected to.

A name is answered by a resolver of the test, and what would leave the machine is noted in place of being sent: so it is
seen whom a connection would have gone to.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from app.config import Settings
from app.db.base import new_id
from app.db.session import Database
from app.db.tables.event import of_job
from app.db.tables.webhook import WebhookRow
from app.errors import HubUnreachable, InvalidRequest
from app.schemas.evaluation import JudgeSpec
from app.schemas.job import WebhookSpec
from app.services import evaluation_checks, hub_files, judges, public_sets, webhooks
from app.services.addresses import BadAddress, Unreachable
from app.services.hub import Hub, HubSource, pull
from app.services.hub_files import Entry
from app.services.judges import ServerJudge
from app.services.outgoing import DIRECTLY, Way
from app.services.storage import Storage
from app.services.webhooks import Deliveries
from tests.fake_sets import made_up_sets
from tests.jobs_made import queued

PUBLIC = "93.184.215.14"
INSIDE = (
    "127.0.0.1", "127.1", "localhost", "0.0.0.0", "0", "[::]", "[::1]", "2130706433", "0x7f000001", "0x7f.1",
    "0177.0.0.1", "017700000001", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "198.18.0.1", "[fc00::1]",
    "169.254.169.254", "2852039166", "0xa9fea9fe", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::]", "224.0.0.1", "[ff02::1]", "255.255.255.255", "240.0.0.1",
    "inside.example", "metadata.example", "both.example", "mapped.example",
)  # fmt: skip
"""Loopback, private, link-local, special; plain, decimal, octal, hexadecimal, hidden in IPv6, behind a name."""
NAMES = {
    "out.example": [PUBLIC],
    "inside.example": ["10.0.0.7"],
    "metadata.example": ["169.254.169.254"],
    "both.example": [PUBLIC, "192.168.0.7"],
    "mapped.example": ["::ffff:127.0.0.1"],
}


@dataclass
class World:
    """What names lead to, and what was sent where.

    Attributes:
        names: the answers to each question after the other; the last one stays.
        sent: the address that each connection would have gone to, and the name that was asked for.
        leads_to: where an answer redirects; None: it does not.
    """

    names: dict[str, list[list[str]]]
    sent: list[tuple[str, str]] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    leads_to: str | None = None

    def resolve(self, host: str, port: int, **_named: Any) -> Any:
        self.questions.append(host)
        if host in self.names:
            answers = self.names[host]
            found = answers.pop(0) if len(answers) > 1 else answers[0]
        else:
            return real_getaddrinfo(host, port, flags=0 if host == "localhost" else socket.AI_NUMERICHOST)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    def answered(self, request: httpx2.Request) -> httpx2.Response:
        assert request.headers["host"]
        self.sent.append((request.url.host, request.extensions["sni_hostname"]))
        if self.leads_to is not None and len(self.sent) == 1:
            return httpx2.Response(302, headers={"location": self.leads_to}, stream=httpx2.ByteStream(b""))
        return httpx2.Response(404, stream=httpx2.ByteStream(b""))


real_getaddrinfo = socket.getaddrinfo


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World({name: [found] for name, found in NAMES.items()})

    async def soon(_transport: object, request: httpx2.Request) -> httpx2.Response:
        return made.answered(request)

    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_rest, **named: made.resolve(host, port))
    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", lambda _transport, request: made.answered(request))
    monkeypatch.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", soon)
    return made


Call = Callable[[str], Any]


@pytest.fixture
def calls(settings: Settings, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Call]:
    """Every way out by its name: called with an address, it asks there, or raises."""
    storage = Storage(tmp_path / "files", tmp_path / "assets")
    storage.prepare()
    monkeypatch.setattr(judges, "AGAIN_AFTER_S", ())
    runtime = SimpleNamespace(settings=settings)
    one = made_up_sets()[0]

    def delivered(url: str) -> None:
        job = queued(database)
        with database.write() as session:
            session.add(WebhookRow(id=new_id("msg"), job_id=job, url=url, secret=None, body="{}"))
        assert Deliveries(settings, database).deliver_one()
        with database.read() as session:
            (told,) = [row.message for row in of_job(session, job, 0, 9)]
        raise BadAddress(told)

    def judged(url: str) -> None:
        job = SimpleNamespace(judge_key=None)
        work: Any = SimpleNamespace(job=job, runtime=runtime, check=lambda: None)
        asked = {"url": url, "model": "m", "max_new_tokens": 1, "timeout_s": 5.0}
        (reply,) = ServerJudge(work, asked).replies([(1, "good?")])
        raise BadAddress(str(reply.error))

    def checked(url: str) -> None:
        judge = JudgeSpec(model="m", url=url)
        evaluation_checks._check_judge(None, runtime, judge)  # type: ignore[arg-type]

    def fetched(url: str) -> None:
        hub_files.fetch(f"{url}/file", Entry("file", 9, "0" * 64, None), tmp_path / "hub", DIRECTLY)

    return {
        "hub": lambda url: pull(storage, Hub(url), HubSource("someone/tiny"), 1 << 30),
        "hub files": fetched,
        "public sets": lambda url: public_sets.fetch(one, url),
        "webhook, asked for": lambda url: webhooks.check(settings, WebhookSpec(url=url)),
        "webhook, delivered": delivered,
        "judge, asked for": checked,
        "judge, asked": judged,
    }


REFUSALS = (BadAddress, HubUnreachable, InvalidRequest, httpx2.InvalidURL, httpx2.RemoteProtocolError)
TOLD = r"no public address|is never called|Invalid|RemoteProtocolError"  # the last two: forms that httpx2 does not take
FOLLOWING = ("hub", "hub files", "public sets")
ASKING = (*FOLLOWING, "webhook, delivered", "judge, asked")


@pytest.mark.parametrize("host", INSIDE)
def test_nothing_inside_is_called_however_it_is_written(world: World, calls: dict[str, Call], host: str) -> None:
    for name, call in calls.items():
        for url in (f"http://{host}", f"https://{host}:8443"):
            with pytest.raises(REFUSALS, match=TOLD) as refusal:
                call(url)
            assert world.sent == [], (name, url, refusal.value)


@pytest.mark.parametrize("host", INSIDE)
@pytest.mark.parametrize("name", FOLLOWING)
def test_nor_where_a_redirect_leads_there(world: World, calls: dict[str, Call], name: str, host: str) -> None:
    for scheme in ("http", "https"):
        world.sent.clear()
        world.leads_to = f"{scheme}://{host}/latest/meta-data/"
        with pytest.raises(REFUSALS, match=TOLD):
            calls[name]("https://out.example")
        assert world.sent == [(PUBLIC, "out.example")]


@pytest.mark.parametrize("name", ["webhook, delivered", "judge, asked"])
def test_what_sends_a_body_follows_no_redirect(world: World, calls: dict[str, Call], name: str) -> None:
    world.leads_to = "http://169.254.169.254/"
    with pytest.raises(BadAddress, match="answered 302"):
        calls[name]("https://out.example")
    assert world.sent == [(PUBLIC, "out.example")]


@pytest.mark.parametrize("name", ASKING)
def test_the_connection_goes_to_the_address_that_was_judged(world: World, calls: dict[str, Call], name: str) -> None:
    """A name that answers with a public address first, and then with this machine's: it is asked once a connection."""
    world.names["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    with pytest.raises(Exception, match=r"404|does not answer"):
        calls[name]("https://rebinding.example")
    assert world.sent == [(PUBLIC, "rebinding.example")]
    assert world.questions.count("rebinding.example") == 1


@pytest.mark.parametrize("name", FOLLOWING)
def test_a_name_that_turned_inside_is_refused_at_the_redirect(world: World, calls: dict[str, Call], name: str) -> None:
    world.names["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    world.leads_to = "https://rebinding.example/again"
    with pytest.raises(REFUSALS, match="no public address"):
        calls[name]("https://rebinding.example")
    assert world.sent == [(PUBLIC, "rebinding.example")]


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:a9fe:a9fe]", "[fe80::1]", "metadata.example", "0.0.0.0"])
def test_where_ones_own_network_is_allowed_the_clouds_secrets_are_not(world: World, tmp_path: Path, host: str) -> None:
    storage = Storage(tmp_path / "files", tmp_path / "assets")
    storage.prepare()
    own = Hub("http://10.0.0.7:8080", Way(private=True))
    world.leads_to = f"http://{host}/latest/meta-data/"
    with pytest.raises(HubUnreachable, match="is never called"):
        pull(storage, own, HubSource("someone/tiny"), 1 << 30)
    assert world.sent == [("10.0.0.7", "10.0.0.7")]


@pytest.mark.parametrize("leads_to", ["file:///etc/passwd", "ftp://out.example/", "gopher://127.0.0.1:6379/_INFO"])
def test_other_schemes_lead_nowhere(world: World, calls: dict[str, Call], leads_to: str) -> None:
    for name in FOLLOWING:
        world.sent.clear()
        world.leads_to = leads_to
        with pytest.raises((HubUnreachable, httpx2.UnsupportedProtocol)):
            calls[name]("https://out.example")
        assert world.sent == [(PUBLIC, "out.example")]


def test_redirects_come_to_an_end(world: World, calls: dict[str, Call], monkeypatch: pytest.MonkeyPatch) -> None:
    def always(_transport: object, request: httpx2.Request) -> httpx2.Response:
        world.sent.append((request.url.host, ""))
        return httpx2.Response(302, headers={"location": "https://out.example/again"})

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", always)
    with pytest.raises(HubUnreachable, match="redirects"):
        calls["public sets"]("https://out.example")
    assert len(world.sent) == 6


class Endless(httpx2.SyncByteStream):
    """An answer without an end."""

    def __init__(self) -> None:
        self.pieces = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            self.pieces += 1
            yield b" " * 65_536


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}, {"content-length": "5"}])
def test_an_answer_without_end_is_left(
    world: World, calls: dict[str, Call], monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    endless = Endless()
    answer = httpx2.Response(200, headers=headers, stream=endless)
    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", lambda *_: answer)
    with pytest.raises(HubUnreachable):
        calls["hub"]("https://out.example")
    assert endless.pieces <= 513


def test_an_answer_that_takes_too_long_is_left(
    world: World, calls: dict[str, Call], monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = httpx2.Response(200, stream=Endless())
    moments = iter(range(0, 10**6, 10))  # a piece each ten seconds
    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", lambda *_: answer)
    monkeypatch.setattr("app.services.outgoing.time", SimpleNamespace(monotonic=lambda: next(moments)))
    with pytest.raises((HubUnreachable, Unreachable), match=r"whole after 60 s|does not answer"):
        calls["hub"]("https://out.example")
    assert next(moments) < 200
