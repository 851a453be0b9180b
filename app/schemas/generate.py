"""The wire of POST /generate: one body in; one body, or one event a token, out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, model_validator
from pydantic_core import PydanticCustomError

from app.schemas.base import In, Out, Text, an_example
from app.schemas.tokenizer import IdList

MAX_STOPS, MAX_STOP_CHARACTERS = 64, 256
MAX_MESSAGES = 4096
MAX_CHOICES = 128
FinishReason = Literal["stop", "length", "abort"]


def _one_stop_or_many(value: object) -> list[str]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(stop, str) for stop in stops):
        raise PydanticCustomError("stop_type", "must be a text, or a list of texts")
    if len(stops) > MAX_STOPS:
        told = {"most": MAX_STOPS, "given": len(stops)}
        raise PydanticCustomError("too_many_stops", "at most {most} stop strings, not {given}", told)
    for index, stop in enumerate(stops):
        if not 1 <= len(stop) <= MAX_STOP_CHARACTERS:
            told = {"index": index, "most": MAX_STOP_CHARACTERS, "given": len(stop)}
            raise PydanticCustomError("stop_length", "item {index}: 1 to {most} characters, not {given}", told)
        try:
            stop.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError(
                "stop_utf8", "item {index}: a lone surrogate is no text", {"index": index}
            ) from None
    return stops


Stops = Annotated[list[str], PlainValidator(_one_stop_or_many, json_schema_input_type=str | list[str])]
"""Strings at which a text ends; one alone may stand without a list."""


class Message(In):
    """One turn of a conversation. Special tokens in `content` are plain text."""

    role: Literal["system", "user", "assistant"]
    content: Text


class Sampling(In):
    """How tokens are drawn, and where the text ends."""

    max_new_tokens: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Omitted: 256, or what the context has room for, if that is less."
    )
    temperature: float = Field(1.0, ge=0, le=100, description="0 is greedy: always the likeliest token.")
    top_k: int | None = Field(None, ge=1, le=2**20)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    repetition_penalty: float = Field(1.0, ge=0.01, le=100)
    stop: Stops = Field(
        default=[],
        description="Up to 64 strings of 1 to 256 characters. The text ends before the first that comes up.",
    )
    seed: int | None = Field(
        None, ge=0, le=2**63 - 1, description="Choice i draws with seed + i. Omitted: by chance, and in the answer."
    )


class GenerateIn(Sampling):
    """Either `prompt`, continued as it is, or `messages`, put into the model's chat template."""

    model_config = an_example(prompt="The sea was calm and", max_new_tokens=40, temperature=0.8, top_k=50, seed=7)

    model: Text | None = Field(None, description="A model, or `job_id@step` for a checkpoint; omitted: the default.")
    prompt: Annotated[Text, Field(min_length=1)] | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    begin: IdList = Field(
        default=[],
        description="Ids of tokens that the text begins with: what is drawn goes on behind them. They are no part of "
        "the answer, and count as tokens of the prompt.",
    )
    n: int = Field(1, ge=1, le=MAX_CHOICES, description="How many continuations.")
    top_logprobs: int = Field(0, ge=0, le=20, description="How many of the likeliest alternatives, for each token.")
    logits: bool = Field(
        False,
        description="Tell the logits that the first token was drawn from, of the whole vocabulary, and the ids that it "
        "follows. For one choice, not streamed.",
    )
    stream: bool = Field(False, description="Answer with server-sent events, one a token.")

    @model_validator(mode="after")
    def _logits_of_one_answer(self) -> GenerateIn:
        if self.logits and (self.n > 1 or self.stream):
            told = {"param": "logits"}
            raise PydanticCustomError("logits_of_one", "of one choice alone, and not in a stream", told)
        return self


class TopTokenOut(Out):
    """A token that could have come; its text alone, with U+FFFD where its bytes are no UTF-8."""

    id: int | None
    text: str
    bytes: list[int] | None
    logprob: float
    sampled_logprob: float | None


class GeneratedTokenOut(Out):
    """One token as the model drew it.

    Every token drawn is listed, the one that ended the text too, and counted in `usage.completion_tokens`. The
    `text` of all of them joins to the choice's text. With a remote backend (docs/remote.md) what it does not tell is
    null, and where it tells of no tokens a record is a piece of the text as it came.
    """

    id: int | None = Field(description="Null with a remote backend.")
    text: str = Field(
        description="What the token added to the text: nothing while a character is incomplete; the tokens of a stop "
        "string, the end-of-text token and other control tokens add nothing."
    )
    bytes: list[int] | None = Field(description="The token's own bytes, whatever became of its text.")
    logprob: float | None = Field(description="Log-probability by the model alone.")
    sampled_logprob: float | None = Field(
        description="Log-probability after penalty, temperature and filters: what the draw was made from. Null: the "
        "filters left this token out; always null with a remote backend."
    )
    top: list[TopTokenOut] = Field(description="The likeliest tokens at this place by the model alone, best first.")


class ChoiceOut(Out):
    index: int
    text: str
    finish_reason: FinishReason = Field(
        description="`stop`: the model ended the text, or a stop string came; `length`: max_new_tokens; `abort`: the "
        "server ended it."
    )
    tokens: list[GeneratedTokenOut]


class BegunTokenOut(Out):
    """A token of `begin`."""

    id: int
    text: str = Field(
        description="What it added to the text: nothing while a character is incomplete, nor as a control token."
    )
    ends: bool = Field(description="The model would have ended its text with it.")


class UsageOut(Out):
    prompt_tokens: int
    completion_tokens: int = Field(description="Of all choices together.")
    total_tokens: int


class GenerateOut(Out):
    id: str
    model: str
    created: int
    choices: list[ChoiceOut]
    usage: UsageOut | None = Field(description="Null where a remote backend does not tell.")
    seed: int | None = Field(description="Null with a remote backend, unless one was asked for.")
    logits: str | None = Field(
        description="Null unless asked for. Base64 of little-endian float32, one number a token of the vocabulary: "
        "the model's own, before penalty and temperature."
    )
    begun: list[BegunTokenOut] = Field(description="The tokens of `begin`, which are no part of the choices.")
    prompt_ids: list[int] | None = Field(
        description="Null unless `logits` are asked for: what the model read, `begin` at the end."
    )


class GenerateEvent(Out):
    """One event of a stream, followed by `[DONE]` after the last.

    `index` is the choice's. The last event of a choice has `finish_reason`, the last of all also what stands beside
    the choices of an answer that is not streamed. `token` is missing only where a choice was aborted or,
    with a remote backend, where it says by itself that a choice has ended. Where the request has `begin`, the first
    event of all has `begun`.
    """

    index: int
    token: GeneratedTokenOut | None = None
    finish_reason: FinishReason | None = None
    begun: list[BegunTokenOut] | None = None
    id: str | None = None
    model: str | None = None
    created: int | None = None
    usage: UsageOut | None = None
    seed: int | None = None
