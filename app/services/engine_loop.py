"""One thread that drives one engine, and streams of events from it to the event loop.

Knows ids, threads and queues; knows no text, no model's name, no HTTP.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from app.errors import AppError, NotReady, QueueFull
from app.llm.engine.request import Answer, Event, Request, RequestFailed
from app.llm.errors import LLMError
from app.log import get_logger
from app.services.gate import ComputeGate
from app.services.metrics import EngineWatch, Metrics

log = get_logger(__name__)

MAX_UNREAD_EVENTS = 8192
"""Events that may lie unread in a stream; a reader so far behind is given up, so that memory stays bounded."""
RETRY_AFTER_S = 2


class GenerationFailed(AppError):
    """The engine broke while it wrote this; what came so far is good."""

    code = "generation_failed"


class Engine(Protocol):
    """What is asked of `app.llm.engine.engine.Engine`."""

    @property
    def running(self) -> int: ...
    @property
    def kv_cache_usage(self) -> float: ...
    def add(self, request: Request) -> None: ...
    def abort(self, request_id: str) -> None: ...
    def step(self) -> list[Event]: ...
    def check_integrity(self) -> None: ...


class EventStream:
    """Events of some requests, in the order they were made. Read by one task of the event loop that made it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[list[Answer] | AppError | None] = asyncio.Queue()
        self._put = 0  # counted by the engine's thread alone
        self._read = 0  # counted by the reader alone

    def put(self, item: list[Answer] | AppError | None) -> bool:
        """Add events, an error, or None (nothing more will come), from any thread; False if nobody can read them."""
        if isinstance(item, list):
            self._put += len(item)
            if self._put - self._read > MAX_UNREAD_EVENTS:
                return False
        try:
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        except RuntimeError:  # the event loop is closed
            return False
        return True

    async def next(self) -> list[Answer] | None:
        """The next events, at least one; None where the engine was closed before the requests ended.

        Raises:
            AppError: what broke in the engine.
        """
        item = await self._items.get()
        if isinstance(item, AppError):
            raise item
        self._read += len(item or ())
        return item


class EngineLoop:
    """Requests in, streams of events out. Safe to call from any thread.

    The thread starts with the first request. Once retired, it ends when nothing is left to do; a request that
    comes later all the same starts another.
    """

    def __init__(
        self,
        engine: Engine,
        gate: ComputeGate,
        max_queued: int,
        *,
        name: str = "",
        watch: EngineWatch | None = None,
        on_start: Callable[[], None] | None = None,
        on_death: Callable[[], None] | None = None,
    ) -> None:
        """Drive `engine`, which nobody else may touch; each step passes the gate.

        Args:
            max_queued: requests that may wait while others run.
            name: for the log.
            watch: counts what goes in and comes out.
            on_start: called in the engine's thread, before anything else.
            on_death: called, in the engine's thread, once it takes no more requests.
        """
        self._engine, self._gate, self._max_queued = engine, gate, max_queued
        self._name, self._on_start, self._on_death = name, on_start, on_death
        self._watch = watch or Metrics().watch(name)
        self._wake = threading.Condition()  # guards all that follows
        self._inbox: list[Request | str] = []  # a request to add, or the id of one to abort
        self._open: dict[str, EventStream] = {}
        self._held: set[str] = set()  # ids the engine holds; touched by its thread alone
        self._thread: threading.Thread | None = None
        self._is_retired = False
        self._is_dead = False

    @property
    def is_dead(self) -> bool:
        """The engine's books are wrong after a failure: it takes no more requests."""
        return self._is_dead

    @property
    def is_idle(self) -> bool:
        return not self._open

    @property
    def running(self) -> int:
        """Requests that hold memory."""
        return self._engine.running

    @property
    def waiting(self) -> int:
        """Requests that wait for memory."""
        return max(0, len(self._open) - self._engine.running)

    @property
    def kv_cache_usage(self) -> float:
        """The part of the key–value memory that is reserved, 0 to 1."""
        return self._engine.kv_cache_usage

    def check_room(self, count: int) -> None:
        """Refuse what `submit` would refuse now, before any work goes into it.

        Raises:
            QueueFull: `count` more requests are more than may wait.
            NotReady: the engine is dead.
        """
        if self._is_dead:
            raise NotReady("the engine of this model stopped; it is being started again", retry_after_s=RETRY_AFTER_S)
        if self.waiting + count > self._max_queued:
            message = f"{self.waiting} requests are waiting, {self._max_queued} may; {count} more have no room"
            raise QueueFull(message, retry_after_s=RETRY_AFTER_S)

    def submit(self, requests: Sequence[Request]) -> EventStream:
        """Queue all of `requests`, or none; their events come through one stream. Called in the event loop.

        Raises:
            QueueFull, NotReady: as `check_room`.
        """
        stream = EventStream()
        with self._wake:
            self.check_room(len(requests))
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=f"engine {self._name}", daemon=True)
                thread.start()  # where the system has no thread left, nothing was taken yet
                self._thread = thread
            self._open |= {request.id: stream for request in requests}
            self._inbox += requests
            self._watch.taken(requests)
            self._wake.notify()
        return stream

    def abort(self, request_ids: Iterable[str]) -> None:
        """Drop requests and what they hold before the next step; those that have ended are no error."""
        with self._wake:
            known = [each for each in request_ids if self._open.pop(each, None)]
            self._inbox += known
            self._watch.dropped(known, "abort")
            self._wake.notify()

    def retire(self) -> None:
        """Let the thread end as soon as nothing is left to do."""
        with self._wake:
            self._is_retired = True
            self._wake.notify()

    def wait(self, timeout_s: float) -> None:
        """Wait until the thread of a retired loop has ended."""
        with self._wake:
            thread = self._thread
        if thread is not None:
            thread.join(timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        """Abort everything, end all streams, and wait for the thread."""
        with self._wake:
            streams, ids = set(self._open.values()), list(self._open)
        self.abort(ids)
        self.retire()
        for stream in streams:
            stream.put(None)
        self.wait(timeout_s)

    def _run(self) -> None:
        try:
            if self._on_start is not None:
                self._on_start()
        except Exception as error:  # noqa: BLE001 - as below; and another thread would fare no better
            self._fail(error, is_dead=True)
        while (inbox := self._next_inbox()) is not None:
            try:
                self._take(inbox)
                if self._held:
                    with self._gate:
                        events = self._engine.step()
                    self._deliver(events)
            except Exception as error:  # noqa: BLE001 - whatever it was, those who wait must hear of it
                self._fail(error)

    def _next_inbox(self) -> list[Request | str] | None:
        """What came in since the last step; waits while there is nothing to do. None ends the thread."""
        with self._wake:
            while self._is_dead or (not self._inbox and not self._held):
                if self._is_retired or self._is_dead:
                    self._thread = None
                    return None
                self._wake.wait()
            inbox, self._inbox = self._inbox, []
            return inbox

    def _take(self, inbox: list[Request | str]) -> None:
        for item in inbox:
            if isinstance(item, str):
                self._engine.abort(item)
                self._held.discard(item)
                continue
            try:
                self._engine.add(item)
                self._held.add(item.id)
            except LLMError as error:  # refusals were made before; this is our own mistake, and concerns one request
                self._end(item.id, GenerationFailed(str(error)))

    def _deliver(self, events: list[Event]) -> None:
        """Hand each stream its events of this step."""
        self._watch.delivered(events)
        by_stream: dict[EventStream, list[Answer]] = {}
        for event in events:
            stream = self._open.get(event.request_id)
            if isinstance(event, RequestFailed):
                self._end(event.request_id, GenerationFailed(event.message))
            elif stream is not None:
                by_stream.setdefault(stream, []).append(event)
        ended = [event.request_id for event in events if isinstance(event, RequestFailed) or event.finish_reason]
        self._held.difference_update(ended)
        with self._wake:
            for request_id in ended:
                self._open.pop(request_id, None)
        for stream, its_events in by_stream.items():
            if not stream.put(its_events):
                self._give_up(stream)

    def _end(self, request_id: str, error: AppError) -> None:
        with self._wake:
            stream = self._open.pop(request_id, None)
        if stream is not None:
            log.error("generation_failed", model=self._name, request=request_id, error=error.message)
            stream.put(error)

    def _give_up(self, stream: EventStream) -> None:
        """Nobody reads this stream, or not fast enough: end its requests."""
        log.warning("stream_given_up", model=self._name)
        self.abort([request_id for request_id, its in list(self._open.items()) if its is stream])
        stream.put(GenerationFailed("the events of this answer were not read; it was ended"))

    def _fail(self, error: Exception, *, is_dead: bool = False) -> None:
        """The engine broke in the middle of a step: end everything, and go on if its books are still right."""
        log.error("engine_failed", model=self._name, exc_info=error)
        try:
            for request_id in self._held:
                self._engine.abort(request_id)
            self._engine.check_integrity()
        except Exception as second:
            log.error("engine_dead", model=self._name, exc_info=second)
            is_dead = True
        self._held.clear()
        with self._wake:
            self._is_dead = is_dead
            streams = set(self._open.values())
            self._watch.dropped(self._open, "error")
            self._open.clear()
            self._inbox.clear()
        for stream in streams:
            stream.put(GenerationFailed("the engine failed while it wrote this; the log says why"))
        if is_dead and self._on_death is not None:
            self._on_death()
