"""Many prompts answered greedily by one engine, some at once. Knows ids alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.llm.config import SamplingParams
from app.llm.engine.engine import Engine
from app.llm.engine.request import Request, RequestFailed, TokenEvent
from app.llm.errors import LLMError


@dataclass(frozen=True)
class Written:
    """What came of the prompt of this number: the ids, without the one that ended it; or why nothing did."""

    number: int
    ids: list[int]
    error: str | None = None


def write_all(
    engine: Engine,
    prompts: Iterable[tuple[int, Sequence[int]]],
    max_new_tokens: int,
    stop_ids: frozenset[int],
    *,
    at_once: int,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Written]:
    """Answer numbered prompts with the likeliest tokens; each comes when it is done, which need not be in order.

    Args:
        at_once: requests that the engine has at a time.
        check: called before each step; may raise.
    """
    params = SamplingParams(max_new_tokens=max_new_tokens, temperature=0.0)
    waiting, written = iter(prompts), dict[str, list[int]]()
    is_all = False
    while written or not is_all:
        while not is_all and len(written) < at_once:
            entry = next(waiting, None)
            if entry is None:
                is_all = True
                break
            number, ids = entry
            try:
                engine.add(Request(str(number), tuple(ids), params, stop_ids))
                written[str(number)] = []
            except LLMError as error:  # of this prompt: it has no token, or no room in the context
                yield Written(number, [], str(error))
        if not written:
            continue
        check()
        for event in engine.step():
            if isinstance(event, RequestFailed):
                del written[event.request_id]
                yield Written(int(event.request_id), [], event.message)
            elif isinstance(event, TokenEvent):
                if event.finish_reason != "stop":
                    written[event.request_id].append(event.token_id)
                if event.finish_reason is not None:
                    yield Written(int(event.request_id), written.pop(event.request_id))
