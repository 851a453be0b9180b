"""What an OpenAI-compatible server answers, as far as it is read here. What it says beside that is passed over."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class Read(BaseModel):
    """Somebody else's body: unknown fields are theirs to add."""

    model_config = ConfigDict(extra="ignore")


Byte = Annotated[int, Field(ge=0, le=255)]


class RemoteTop(Read):
    token: str
    logprob: float
    bytes: list[Byte] | None = None


class RemoteTokenLogprob(RemoteTop):
    top_logprobs: list[RemoteTop] | None = None


class RemoteLogprobs(Read):
    """Those of a conversation have `content`; those of a completion parallel lists."""

    content: list[RemoteTokenLogprob] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class RemoteDelta(Read):
    content: str | None = None


class RemoteChoice(Read):
    index: int = 0
    text: str | None = None
    delta: RemoteDelta | None = None
    logprobs: RemoteLogprobs | None = None
    finish_reason: str | None = None


class RemoteUsage(Read):
    prompt_tokens: int
    completion_tokens: int = 0


class RemoteChunk(Read):
    choices: list[RemoteChoice] = []
    usage: RemoteUsage | None = None


class RemoteCard(Read):
    id: str
    created: int = 0
    owned_by: str = ""


class RemoteCards(Read):
    data: list[RemoteCard]


class RemoteError(Read):
    """What an error says; OpenAI's four fields, or the little that other servers tell."""

    message: str
    type: str | None = None
    param: str | None = None
    code: str | None = None

    @classmethod
    def of(cls, body: Any) -> RemoteError | None:
        """Read OpenAI's `{"error": {…}}`, `{"error": "…"}`, the bare fields, or FastAPI's `{"detail": …}`."""
        told = body.get("error", body) if isinstance(body, dict) else body
        if isinstance(told, str):
            return cls(message=told)
        if not isinstance(told, dict):
            return None
        message = told.get("message", told.get("detail"))
        if message is None:
            return None
        names = {name: value for name in ("type", "param", "code") if isinstance(value := told.get(name), str)}
        try:
            return cls(message=message if isinstance(message, str) else str(message), **names)
        except ValidationError:  # a lone surrogate, which is no text
            return None
