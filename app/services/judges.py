"""Who marks answers: a model here, or one of an OpenAI-compatible server. Replies are handed on as they came.

A server that fails, or does not answer in time, is asked again, a few times; then that is what came of the question.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from app.errors import AppError
from app.llm.writing import write_all
from app.services import evaluation_models, outgoing
from app.services.addresses import BadAddress, Unreachable
from app.services.evaluation_models import Writer
from app.services.evaluation_work import Work

AGAIN_AFTER_S = (1.0, 4.0)
"""Waits before a server that failed is asked again; after the last one it is given up for this question."""
AT_ONCE = 8
MAX_ANSWER_BYTES = 1 << 20
SHOWN_CHARACTERS = 2000


@dataclass(frozen=True)
class Reply:
    """What a judge said to the question of this number; `text` is None where it said nothing."""

    number: int
    text: str | None
    error: str | None = None
    attempts: int = 1


class Judge(Protocol):
    def replies(self, questions: Iterable[tuple[int, str]]) -> Iterator[Reply]:
        """One to each numbered question, not always in order."""


@contextmanager
def judge(work: Work) -> Iterator[Judge]:
    """The judge that the job asks for.

    Raises:
        AppError, LLMError: it is a model here, and not there any more or damaged.
    """
    wanted = work.settings["judge"]
    if wanted["url"] is not None:
        yield ServerJudge(work, wanted)
        return
    with evaluation_models.lent(work, wanted["model"]) as writer:
        yield ModelJudge(work, writer)


class ModelJudge:
    """A model here, which writes greedily."""

    def __init__(self, work: Work, writer: Writer) -> None:
        self._work, self._writer = work, writer
        self._engine = evaluation_models.engine(work, writer)

    def replies(self, questions: Iterable[tuple[int, str]]) -> Iterator[Reply]:
        refused: list[Reply] = []

        def prompts() -> Iterator[tuple[int, list[int]]]:
            for number, text in questions:
                try:
                    yield number, self._writer.asked_ids(text)
                except AppError as error:
                    refused.append(Reply(number, None, error.message))

        most = self._work.settings["judge"]["max_new_tokens"]
        ends, check = self._writer.stop_ids, self._work.check
        for written in write_all(self._engine, prompts(), most, ends, at_once=AT_ONCE, check=check):
            text = None if written.error else self._writer.tokenizer.decode(written.ids)
            yield Reply(written.number, text, written.error)
        yield from refused


class ServerJudge:
    """A model of an OpenAI-compatible server."""

    def __init__(self, work: Work, wanted: dict[str, Any]) -> None:
        self._work, self._wanted = work, wanted
        self._url = f"{wanted['url'].rstrip('/')}/chat/completions"
        key = work.job.judge_key
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}

    def replies(self, questions: Iterable[tuple[int, str]]) -> Iterator[Reply]:
        for number, text in questions:
            self._work.check()
            yield self._reply(number, text)

    def _reply(self, number: int, text: str) -> Reply:
        for attempt, wait_s in enumerate((*AGAIN_AFTER_S, None), start=1):
            try:
                answer = self._ask(text)
            except BadAddress as error:
                return Reply(number, None, str(error), attempt)
            except Unreachable as error:
                told, may_go = str(error), True
            else:
                if answer.status == 200:
                    return _read(number, answer.body, attempt)
                told = f"it answered {answer.status}: {_shown(answer.body)}"
                may_go = answer.status == 429 or answer.status >= 500
            if wait_s is None or not may_go:
                break
            self._wait(wait_s)
        return Reply(number, None, told, attempt)

    def _ask(self, text: str) -> outgoing.Answer:
        body = {
            "model": self._wanted["model"],
            "messages": [{"role": "user", "content": text}],
            "temperature": 0,
            "max_tokens": self._wanted["max_new_tokens"],
        }
        return outgoing.ask(
            self._url,
            json.dumps(body).encode(),
            self._headers,
            private=self._work.runtime.settings.judge_private_addresses,
            total_s=self._wanted["timeout_s"],
            max_bytes=MAX_ANSWER_BYTES,
            waiting=self._work.check,
        )

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._work.check()
            time.sleep(min(left, outgoing.LOOK_EVERY_S))


def _read(number: int, body: bytes, attempts: int) -> Reply:
    """The text of a chat completion; another body is an error that shows it."""
    try:
        text = json.loads(body)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):  # the last: nested as deep as it likes
        text = None
    if not isinstance(text, str):
        return Reply(number, None, f"what it answered is no chat completion: {_shown(body)}", attempts)
    return Reply(number, text, None, attempts)


def _shown(body: bytes) -> str:
    return body.decode(errors="replace")[:SHOWN_CHARACTERS]
