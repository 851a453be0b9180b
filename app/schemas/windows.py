"""The wire of POST /windows: a text cut into the input–target pairs that a model learns from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from app.schemas.base import In, Out, Text, an_example
from app.schemas.tokenizer import IdList, Specials

MAX_SHOWN_TOKENS = 1 << 16
"""Inputs in one answer: some megabytes of JSON."""
MAX_SEED = 2**63 - 1


class WindowsIn(In):
    """The parameters of the book's `create_dataloader_v1`, with its defaults, and what of it to show."""

    model_config = an_example(
        text="In the heart of the city stood the old library", max_length=4, stride=1, batch_size=2
    )

    text: Text | None = Field(None, description="One of `text`, `ids`, `dataset`.")
    ids: IdList | None = Field(None, description="Token ids; without a tokenizer any numbers will do.")
    dataset: str | None = Field(None, description="A dataset's id.")
    tokenizer: str | None = Field(None, description="Omitted: the default one for text, none for ids.")
    specials: Specials = "text"
    max_length: int = Field(256, ge=1, le=MAX_SHOWN_TOKENS, description="Tokens of an input.")
    stride: int = Field(128, ge=1, le=2**31 - 1, description="Tokens from one window to the next.")
    batch_size: int = Field(4, ge=1, le=MAX_SHOWN_TOKENS)
    shuffle: bool = True
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Of the shuffling; omitted: drawn, and returned.")
    drop_last: bool = Field(True, description="Leave out a last batch that is smaller.")
    after: int | None = Field(None, ge=0, le=MAX_SEED, description="The batch that the page before ended with.")
    limit: int | None = Field(None, ge=1, le=1000, description="Batches to show; omitted: 10, or as many as fit.")


class BatchOut(Out):
    index: int
    windows: list[int] = Field(description="Number of each window in the text.")
    inputs: list[list[int]]
    targets: list[list[int]]
    input_texts: list[list[str]] | None = Field(description="Each token's text; null without a tokenizer.")
    target_texts: list[list[str]] | None


class WindowsOut(Out):
    tokenizer: str | None
    tokens: int
    windows: int
    batches: int = Field(description="Of one epoch.")
    seed: int | None = Field(description="Null where nothing is shuffled.")
    data: list[BatchOut]
    has_more: bool


def written(head: dict[str, Any], batches: Iterator[dict[str, Any]], *, has_more: bool) -> Iterator[bytes]:
    """A WindowsOut in pieces, a batch each, made while it is written."""
    yield json.dumps(head)[:-1].encode() + b',"data":['
    for number, batch in enumerate(batches):
        yield (b"," if number else b"") + json.dumps(batch).encode()
    yield b'],"has_more":' + (b"true}" if has_more else b"false}")
