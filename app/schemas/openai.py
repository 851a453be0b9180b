"""The wire of /v1: what OpenAI's clients send, and the shapes that they read (OpenAI's API reference, 2026-11).

`top_k`, `min_p` and `repetition_penalty` are not OpenAI's; other servers take them in the same way.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.schemas.any_json import check_can_be_sent
from app.schemas.base import Out, Text, an_example
from app.schemas.generate import MAX_CHOICES, MAX_MESSAGES, FinishReason, Stops, UsageOut
from app.schemas.openai_base import OpenAIIn

MAX_PROMPTS = 2048
MAX_BIASES = 1024
MAX_BEST_OF = 20


def _together(param: str, told: str) -> PydanticCustomError:
    """Fields that do not fit together, of which one is told as the wrong one."""
    return PydanticCustomError("together", "{told}", {"param": param, "told": told})


def _prompts(value: object) -> list[str | list[int]]:
    """A text, texts, ids, or lists of ids: as a list of prompts."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise PydanticCustomError("prompt_type", "must be a text, a list of texts, token ids, or a list of token ids")
    if _is_ids(value):
        return [value]
    if len(value) > MAX_PROMPTS:
        told = {"most": MAX_PROMPTS, "given": len(value)}
        raise PydanticCustomError("too_many_prompts", "at most {most} prompts, not {given}", told)
    for index, prompt in enumerate(value):
        if not (isinstance(prompt, str) or (isinstance(prompt, list) and prompt and _is_ids(prompt))):
            told = {"index": index}
            raise PydanticCustomError("prompt_type", "item {index} is neither a text nor a list of token ids", told)
    return value


def _is_ids(value: list[Any]) -> bool:
    return all(isinstance(each, int) and not isinstance(each, bool) for each in value)


def _are_utf8(prompts: list[str | list[int]]) -> list[str | list[int]]:
    for index, prompt in enumerate(prompts):
        try:
            _ = prompt.encode() if isinstance(prompt, str) else b""
        except UnicodeEncodeError:
            raise PydanticCustomError(
                "no_text", "item {index}: a lone surrogate is no text", {"index": index}
            ) from None
    return prompts


Prompts = Annotated[
    list[str | list[int]],
    PlainValidator(
        lambda value: _are_utf8(_prompts(value)), json_schema_input_type=str | list[str] | list[int] | list[list[int]]
    ),
]


class StreamOptions(OpenAIIn):
    include_usage: bool = False


class SamplingIn(OpenAIIn):
    """What completions and conversations have in common."""

    model: Text = Field(description="A model of GET /v1/models, or `job_id@step` for a checkpoint.")
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, ge=0, le=1)
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: Stops = Field([], description="Up to 64 strings.")
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: dict[str, float] = Field({}, max_length=MAX_BIASES, description="By token id, -100 to 100.")
    seed: int | None = Field(None, ge=-(2**63), le=2**63 - 1, description="Choice i draws with seed + i.")
    top_k: int | None = Field(None, ge=1, le=2**20, description="Not OpenAI's.")
    min_p: float | None = Field(None, ge=0, le=1, description="Not OpenAI's.")
    repetition_penalty: float = Field(1.0, ge=0.01, le=100, description="Not OpenAI's.")

    @field_validator("logit_bias")
    @classmethod
    def _biases(cls, biases: dict[str, float]) -> dict[str, float]:
        for key, bias in biases.items():
            if not (key.isascii() and key.isdigit() and len(key) < 10):
                raise PydanticCustomError("bias_key", "{key} is no token id", {"key": repr(key[:20])})
            if not -100 <= bias <= 100:
                told = {"key": key, "bias": bias}
                raise PydanticCustomError("bias_range", "the bias of {key} must be from -100 to 100, not {bias}", told)
        return biases

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> SamplingIn:
        if self.stream_options is not None and not self.stream:
            raise _together("stream_options", "belong to a stream; set stream to true")
        return self


class CompletionIn(SamplingIn):
    """POST /v1/completions."""

    model_config = an_example(model="smollm2-135m-instruct", prompt="The sea was calm and", max_tokens=40, logprobs=2)

    prompt: Prompts
    max_tokens: int = Field(16, ge=0, le=2**31 - 1, description="0 with `echo` scores the prompt.")
    best_of: int | None = Field(
        None, ge=1, le=MAX_BEST_OF, description="Of so many, the `n` likeliest by token are given."
    )
    echo: bool = False
    logprobs: int | None = Field(None, ge=0, le=5)

    @model_validator(mode="after")
    def _fit_together(self) -> CompletionIn:
        if self.max_tokens == 0 and not self.echo:
            raise _together("max_tokens", "0 asks for nothing, unless with echo")
        if self.best_of is not None and self.best_of < self.n:
            raise _together("best_of", "must be at least n")
        if self.best_of is not None and self.best_of > self.n and self.stream:
            raise _together("best_of", "cannot be streamed: the best is known at the end")
        return self


class TextPart(OpenAIIn):
    type: Literal["text"]
    text: Text


class ChatMessage(OpenAIIn):
    """A turn. `developer` is OpenAI's newer name for `system`. Special tokens in `content` are plain text."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]

    @property
    def text(self) -> str:
        return self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)


MAX_SCHEMA_CHARACTERS = 64 * 1024
SCHEMA_FIELDS = frozenset({"name", "schema", "strict", "description"})


class ResponseFormat(OpenAIIn):
    """What an answer must be. `json_schema` holds `schema` and, as OpenAI's clients send them, `name` and `strict`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _has_its_schema(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise PydanticCustomError("json_schema", "json_schema and type json_schema belong together")
        if self.json_schema is None:
            return self
        unknown = next((key for key in self.json_schema if key not in SCHEMA_FIELDS), None)
        if unknown is not None:
            raise PydanticCustomError("json_schema", "json_schema has no field {key}", {"key": repr(unknown[:50])})
        if not isinstance(self.json_schema.get("schema"), dict):
            raise PydanticCustomError("json_schema", "json_schema.schema must be an object")
        check_can_be_sent("json_schema", self.json_schema)
        if len(json.dumps(self.json_schema["schema"])) > MAX_SCHEMA_CHARACTERS:
            told = {"most": MAX_SCHEMA_CHARACTERS}
            raise PydanticCustomError("json_schema", "json_schema.schema has more than {most} characters", told)
        return self

    @property
    def schema_of_answer(self) -> dict[str, Any] | None:
        """The JSON schema that an answer must follow; None where any text will do."""
        if self.json_schema is not None:
            schema: dict[str, Any] = self.json_schema["schema"]
            return schema
        return {"type": "object"} if self.type == "json_object" else None


class ChatIn(SamplingIn):
    """POST /v1/chat/completions."""

    model_config = an_example(model="smollm2-135m-instruct", messages=[{"role": "user", "content": "What is a tide?"}])

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: int | None = Field(None, ge=1, le=2**31 - 1, description="The older name of max_completion_tokens.")
    max_completion_tokens: int | None = Field(
        None, ge=1, le=2**31 - 1, description="Omitted: what the context has room for."
    )
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat | None = None

    @model_validator(mode="after")
    def _fit_together(self) -> ChatIn:
        if self.top_logprobs is not None and not self.logprobs:
            raise _together("top_logprobs", "needs logprobs set to true")
        if None not in (self.max_tokens, self.max_completion_tokens):
            raise _together("max_tokens", "give this or max_completion_tokens, not both")
        return self


class EmbeddingIn(OpenAIIn):
    """POST /v1/embeddings."""

    model_config = an_example(model="smollm2-135m-instruct", input=["The sea was calm.", "A storm rose."])

    model: Text
    input: Prompts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, ge=1, description="Refused, unless it is what the model has.")


class CompletionLogprobs(Out):
    """Parallel arrays, a place a token; the prompt's come first with `echo`, and its very first has no probability."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int] = Field(description="Characters of `text` before the token.")


class CompletionChoice(Out):
    text: str
    index: int
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None


class CompletionOut(Out):
    """An answer, or one chunk of a stream."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: UsageOut | None = None


class TopLogprob(Out):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class ChatLogprobs(Out):
    content: list[TokenLogprob]


class AssistantMessage(Out):
    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(Out):
    index: int
    message: AssistantMessage
    logprobs: ChatLogprobs | None
    finish_reason: FinishReason


class ChatOut(Out):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: UsageOut


class Delta(Out):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(Out):
    index: int
    delta: Delta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatChunk(Out):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: UsageOut | None = None


class EmbeddingOut(Out):
    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(Out):
    prompt_tokens: int
    total_tokens: int


class EmbeddingListOut(Out):
    object: Literal["list"] = "list"
    data: list[EmbeddingOut]
    model: str
    usage: EmbeddingUsage


class ModelCardOut(Out):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelCardsOut(Out):
    object: Literal["list"] = "list"
    data: list[ModelCardOut]


class DeletedCardOut(Out):
    id: str
    object: Literal["model"] = "model"
    deleted: Literal[True] = True
