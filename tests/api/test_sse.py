"""Frames, keep-alive, and what happens when the other side is gone."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from app.api import sse
from app.api.sse import EventStreamResponse, frames
from app.errors import NotReady

Message = dict[str, object]


async def events(*items: str | Exception, pause_s: float = 0.0) -> AsyncIterator[str]:
    for item in items:
        await asyncio.sleep(pause_s)
        if isinstance(item, Exception):
            raise item
        yield item


class Peer:
    """A client: takes what is sent, and hangs up when told."""

    def __init__(self, send: Callable[[Message], Awaitable[None]] | None = None) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        self._send = send

    async def receive(self) -> Message:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if self._send is not None:
            await self._send(message)
        self.sent.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)


def answer(source: AsyncIterator[str], peer: Callable[[], Peer] = Peer, leave_after_s: float | None = None) -> tuple:
    """Peer, how often `close` was called, and whether the source was ended."""
    closed = []

    async def scenario() -> Peer:
        made = peer()
        response = EventStreamResponse(frames(source), lambda: closed.append(1))
        if leave_after_s is not None:
            asyncio.get_running_loop().call_later(leave_after_s, made.gone.set)
        await response({"type": "http"}, made.receive, made.send)
        return made

    return asyncio.run(scenario()), closed


def test_events_then_done():
    peer, closed = answer(events('{"a": 1}', '{"b": 2}'))
    assert peer.body == b'data: {"a": 1}\n\ndata: {"b": 2}\n\ndata: [DONE]\n\n'
    headers = dict(peer.sent[0]["headers"])
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-cache"
    assert b"content-length" not in headers
    assert peer.sent[-1]["more_body"] is False
    assert closed == [1]


def test_a_refusal_in_mid_stream_is_an_event():
    peer, _ = answer(events('{"a": 1}', NotReady("the engine stopped")))
    [_, error, done, _] = peer.body.split(b"\n\n")
    told = json.loads(error.removeprefix(b"data: "))
    assert told["error"]["code"] == "not_ready"
    assert set(told["error"]) == {"message", "type", "param", "code"}
    assert done == b"data: [DONE]"


def test_a_mistake_of_ours_in_mid_stream_tells_nothing_of_it():
    peer, closed = answer(events(KeyError("/secret/path")))
    assert b"internal_error" in peer.body
    assert b"secret" not in peer.body
    assert peer.body.endswith(b"data: [DONE]\n\n")
    assert closed == [1]


def test_a_client_that_hangs_up_ends_the_source():
    ended = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                await asyncio.sleep(0.005)
                yield "{}"
        finally:
            ended.append(1)

    peer, closed = answer(endless(), leave_after_s=0.05)
    assert peer.body.startswith(b"data: {}")
    assert b"[DONE]" not in peer.body
    assert (closed, ended) == ([1], [1])


def test_a_client_that_hangs_up_during_a_long_silence():
    peer, closed = answer(events("{}", pause_s=60), leave_after_s=0.05)
    assert peer.body == b""
    assert closed == [1]


def test_silence_is_filled(monkeypatch):
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.02)
    peer, _ = answer(events("{}", pause_s=0.09))
    assert peer.body.startswith(b": ping\n\n: ping\n\n")
    assert peer.body.endswith(b"data: {}\n\ndata: [DONE]\n\n")


def test_a_client_that_reads_nothing_is_given_up(monkeypatch):
    monkeypatch.setattr(sse, "SEND_TIMEOUT_S", 0.05)

    async def stuck(message: Message) -> None:
        if message["type"] == "http.response.body":
            await asyncio.sleep(60)

    _, closed = answer(events("{}", "{}"), lambda: Peer(stuck))
    assert closed == [1]


def test_a_connection_that_breaks_is_no_error_of_ours():
    async def broken(message: Message) -> None:
        if message["type"] == "http.response.body":
            raise OSError("connection reset")

    _, closed = answer(events("{}", "{}"), lambda: Peer(broken))
    assert closed == [1]


@pytest.mark.parametrize("text", ["a\nb", "\r\n", "\u2028"])
def test_no_text_can_break_a_frame(text):
    """JSON escapes line ends, so that an event is always one line."""
    peer, _ = answer(events(json.dumps({"text": text})))
    assert json.loads(peer.body.split(b"\n\n")[0].removeprefix(b"data: ")) == {"text": text}
