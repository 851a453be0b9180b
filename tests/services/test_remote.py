"""The client of another server: events of any cut, secrets, connections that are given back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from starlette.responses import JSONResponse, Response

from app.errors import AppError, RemoteFailed, RemoteRefused, RemoteUnavailable
from app.log import configure_logging
from app.services.remote import Remote, _events
from app.services.tracing import open_tracing, traceparent
from tests.collector import collecting
from tests.plain_openai import PlainOpenAI, text_chunk
from tests.serving import served

SECRET = "top-secret"


async def in_pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_of_any_cut(size):
    text = ": hello\r\n\r\nevent: x\nid: 1\ndata: né\u2028 👍\n\ndata:{}\r\n\r\n\n\ndata: a\ndata: b\n\ndata: lost"

    async def read() -> list[str]:
        return [data async for data in _events(in_pieces(text.encode(), size))]

    assert asyncio.run(read()) == ["né\u2028 👍", "{}", "a\nb"]


def test_an_event_without_end_is_not_kept(monkeypatch):
    """Be it one line or many. What comes before it is told, and what is long all told but not at once, too."""
    monkeypatch.setattr("app.services.remote.MAX_EVENT_BYTES", 100)
    long = b"data: {}\n\n: and so on\n\n" * 20

    async def read(content: bytes, size: int) -> None:
        events = _events(in_pieces(long + content + b"\n\n", size))
        assert [await anext(events) for _ in range(20)] == ["{}"] * 20
        with pytest.raises(RemoteFailed, match="more than 100 bytes"):
            await anext(events)

    for content in (b"data: " + b"x" * 200, b"data: x\n" * 40, b"event: x\n" * 40):
        asyncio.run(read(content, 7))


def test_a_long_event_is_collected_in_time():
    """Twice the length takes twice the time, not four times."""
    content = b"data: " + b"x" * 8_000_000 + b"\n\n"

    async def read() -> list[int]:
        return [len(data) async for data in _events(in_pieces(content, 1000))]

    started = time.process_time()
    assert asyncio.run(read()) == [8_000_000]
    assert time.process_time() - started < 2


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_without_end_is_not_kept(plain, monkeypatch, status):
    monkeypatch.setattr("app.services.remote.MAX_ANSWER_BYTES", 100_000)
    plain.says("/v1/models", JSONResponse({"data": "x" * 99_000}, status))
    plain.says("/v1/completions", JSONResponse({"data": "x" * 100_000}, status))

    async def use(one: Remote) -> None:
        if status == 200:
            assert len(await one.ask("GET", "/models")) < 100_000
        with pytest.raises(RemoteFailed, match="more than 100,000 bytes"):
            await one.ask("POST", "/completions", {})
        if status == 500:
            with pytest.raises(RemoteFailed, match="more than 100,000 bytes"):
                await one.stream("/completions", {}).accepted()

    with served(plain.app) as port:
        asyncio.run(with_remote(f"http://127.0.0.1:{port}", use))


@pytest.mark.parametrize("content", [b"", b"[1]", b'{"id": 1', b'{"id": {}', b'{"id": 1}}', b"{x}", b'{"a": "b}'])
def test_what_is_no_json_object_is_not_passed_on(plain, content):
    plain.says("/v1/completions", Response(content, media_type="application/json"))

    async def use(one: Remote) -> None:
        with pytest.raises(RemoteFailed, match="no JSON object"):
            await one.ask("POST", "/completions", {})

    with served(plain.app) as port:
        asyncio.run(with_remote(f"http://127.0.0.1:{port}", use))


async def with_remote(url: str, use, key: str = SECRET) -> object:
    remote = Remote(f"{url}/v1", key, timeout_s=5)
    try:
        return await use(remote)
    finally:
        await remote.close()
        assert remote.is_idle


@pytest.fixture
def plain() -> PlainOpenAI:
    return PlainOpenAI()


def test_the_key_is_in_no_log_and_no_message(plain, capsys):
    """Not even where the remote repeats it, at the chattiest level."""
    body = {"error": {"message": f"wrong key {SECRET}", "param": SECRET}}
    plain.says("/v1/completions", JSONResponse(body, 400))
    plain.says("/v1/models", JSONResponse(body, 401))

    async def use(remote: Remote) -> list[str]:
        told = [str(await remote.problem())]
        for asked in (remote.ask("POST", "/completions", {}), remote.stream("/completions", {}).accepted()):
            with pytest.raises(RemoteRefused) as refusal:
                await asked
            told += [refusal.value.message, str(refusal.value.param)]
        return told

    configure_logging("debug")
    with served(plain.app) as port:
        told = asyncio.run(with_remote(f"http://127.0.0.1:{port}", use))
    assert told[1] == "wrong key …"
    written = capsys.readouterr()
    assert "remote_refused" in written.err + written.out
    assert SECRET not in written.err + written.out + "".join(told)
    assert {asked.headers["authorization"] for asked in plain.asked} == {f"Bearer {SECRET}"}


def test_what_is_wrong_with_it_is_told(plain):
    async def use(remote: Remote) -> str | None:
        return await remote.problem()

    with served(plain.app) as port:
        url = f"http://127.0.0.1:{port}"
        assert asyncio.run(with_remote(url, use)) is None
        plain.says("/v1/models", JSONResponse({"detail": "Not Found"}, 404))
        assert asyncio.run(with_remote(url, use)) == "Not Found"
    assert "cannot be reached" in str(asyncio.run(with_remote(url, use)))


def test_a_stream_that_is_hung_up_gives_its_connection_back(plain):
    plain.streams_for_ever("/v1/completions", text_chunk("a"))

    async def use(remote: Remote) -> None:
        stream = remote.stream("/completions", {})
        events = stream.events()
        await anext(events)
        assert not remote.is_idle
        stream.close()
        stream.close()
        await stream.ended()
        assert remote.is_idle
        with pytest.raises(RemoteFailed, match="hung up"):
            await drain(events)

    with served(plain.app) as port:
        asyncio.run(with_remote(f"http://127.0.0.1:{port}", use))
        asyncio.run(asyncio.sleep(0.1))
        assert plain.hung_up == 1


def test_a_reader_that_lags_lets_the_remote_wait(plain):
    """Memory stays bounded: what is not read is not taken."""
    plain.streams_for_ever("/v1/completions", text_chunk("a" * 4096), pause_s=0)

    async def use(remote: Remote) -> int:
        stream = remote.stream("/completions", {})
        await stream.accepted()
        await asyncio.sleep(0.5)
        return stream._items.qsize()

    with served(plain.app) as port:
        assert asyncio.run(with_remote(f"http://127.0.0.1:{port}", use)) <= 256


def test_closing_ends_who_still_reads(plain):
    plain.streams_for_ever("/v1/completions", text_chunk("a"))

    async def use(remote: Remote) -> None:
        stream = remote.stream("/completions", {})
        reading = asyncio.create_task(drain(stream.events()))
        await stream.accepted()
        await remote.close()
        with pytest.raises(AppError):
            await asyncio.wait_for(reading, 2)

    with served(plain.app) as port:
        asyncio.run(with_remote(f"http://127.0.0.1:{port}", use))


async def drain(events: AsyncIterator[str]) -> None:
    async for _ in events:
        pass


def test_nobody_there():
    async def use(remote: Remote) -> None:
        with pytest.raises(RemoteUnavailable):
            await remote.ask("GET", "/models")
        with pytest.raises(RemoteUnavailable):
            await drain(remote.stream("/completions", {}).events())

    asyncio.run(with_remote("http://127.0.0.1:1", use))


def test_the_other_server_hears_of_our_span_where_there_is_one(plain, settings):
    plain.says("/v1/completions", JSONResponse({"id": "x"}))

    async def use(remote: Remote) -> str:
        await remote.ask("POST", "/completions", {})
        with made.span("POST /v1/completions"):
            await remote.ask("POST", "/completions", {})
            return str(traceparent())

    with collecting() as collector, served(plain.app) as port:
        made = open_tracing(settings.model_copy(update={"otlp_endpoint": collector.url}), "inkling-test")
        span = asyncio.run(with_remote(f"http://127.0.0.1:{port}", use))
        made.end()
    before, within = plain.asked
    assert "traceparent" not in before.headers
    assert within.headers["traceparent"] == span
