"""What a text that is being written looks like from outside, whoever writes it: an engine here, or a remote server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.llm.engine.request import FinishReason


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of the prompt, once, and of all choices together."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Begun:
    """A token that a text was to begin with, what it added to the text, and whether the model ends texts with it."""

    id: int
    text: str
    ends: bool


class Step(Protocol):
    """One more token of choice `index`; see `generation.Progress`."""

    @property
    def index(self) -> int: ...
    @property
    def token(self) -> object | None: ...
    @property
    def finish_reason(self) -> FinishReason | None: ...
    @property
    def is_last(self) -> bool: ...


class Continuation(Protocol):
    """One call's choices: `progress` or `collect`, then `close`."""

    @property
    def id(self) -> str: ...
    @property
    def model_name(self) -> str: ...
    @property
    def created(self) -> int: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def usage(self) -> Usage | None: ...
    @property
    def logits(self) -> bytes | None: ...
    @property
    def prompt_ids(self) -> Sequence[int]: ...
    @property
    def begun(self) -> Sequence[Begun]: ...
    def progress(self) -> AsyncGenerator[Step, None]: ...
    async def collect(self) -> Sequence[object]: ...
    def close(self) -> None: ...
