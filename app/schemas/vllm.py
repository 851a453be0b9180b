"""Tokens as vLLM's clients (lm-eval among them) ask a server for them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from app.schemas.base import Out, Text, an_example
from app.schemas.generate import MAX_MESSAGES
from app.schemas.openai import ChatMessage
from app.schemas.openai_base import OpenAIIn
from app.schemas.tokenizer import IdList

PROMPT_FORM, TEXT_FORM = "prompt form", "text form"
FORMS = frozenset({PROMPT_FORM, TEXT_FORM})
"""How the two bodies of POST /tokenize are told apart; no part of a field's name."""


def form_of(body: Any) -> str:
    """vLLM's body has `prompt` or `messages`, ours has `text`."""
    return PROMPT_FORM if isinstance(body, dict) and ("prompt" in body or "messages" in body) else TEXT_FORM


class PromptTokenizeIn(OpenAIIn):
    """vLLM's body of POST /tokenize. Special tokens in `prompt` are parsed."""

    model_config = an_example(model="smollm2-135m-instruct", prompt="The sea was calm.")

    model: Text | None = None
    prompt: Text | None = None
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    add_special_tokens: bool = Field(True, description="No tokenizer here adds any, so that both give the same.")
    return_token_strs: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> PromptTokenizeIn:
        if (self.prompt is None) == (self.messages is None):
            raise PydanticCustomError("prompt", "give prompt or messages")
        return self

    @property
    def texts(self) -> list[str]:
        """All that is to be encoded."""
        return [self.prompt] if self.prompt is not None else [each.text for each in self.messages or ()]

    @property
    def param(self) -> str:
        """The field that they stand in."""
        return "prompt" if self.prompt is not None else "messages"


class PromptTokenizeOut(Out):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class DetokenizeIn(OpenAIIn):
    model_config = an_example(model="smollm2-135m-instruct", tokens=[504, 4965])

    model: Text | None = None
    tokens: IdList


class DetokenizeOut(Out):
    prompt: str


class TokenizerInfoOut(Out):
    """Of the default model; null where there is none."""

    tokenizer_class: str
    eos_token: str | None
    bos_token: str | None
    pad_token: str | None
    chat_template: str | None
