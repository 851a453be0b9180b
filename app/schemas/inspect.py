"""The wire of POST /inspect: what to look at, and the numbers that come back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError

from app.schemas.base import In, Out, Text, an_example
from app.schemas.generate import MAX_MESSAGES, Message

Want = Literal[
    "embeddings",
    "input",
    "queries",
    "keys",
    "values",
    "products",
    "scores",
    "masked",
    "attention",
    "maps",
    "context",
    "residual",
    "norms",
    "logit_lens",
    "loss",
    "logits",
    "next",
]
MAX_TOP = 50


def _numbers(value: object) -> list[int]:
    # One look at the types of all: a list may hold a million, and true is an int to isinstance.
    if not isinstance(value, list) or not set(map(type, value)) <= {int}:
        raise PydanticCustomError("numbers_type", "must be a list of whole numbers")
    if not value:
        raise PydanticCustomError("no_numbers", "must hold at least one number")
    return value


def _wants(value: list[Want]) -> list[Want]:
    for want in value:
        if value.count(want) > 1:
            raise PydanticCustomError("doubled", "{want} stands there twice", {"want": want})
    return value


Numbers = Annotated[list[int], PlainValidator(_numbers, json_schema_input_type=list[int])]


class InspectIn(In):
    """One of `text`, `ids` and `messages`, what to look at, and where."""

    model_config = an_example(text="The capital of France is", want=["logit_lens", "next"])

    model: Text | None = Field(None, description="A model, or `job_id@step` for a checkpoint; omitted: the default.")
    text: Annotated[Text, Field(min_length=1)] | None = None
    ids: Numbers | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)] | None = None
    want: Annotated[list[Want], Field(min_length=1, max_length=17), AfterValidator(_wants)] = Field(
        description="`input`: what a layer's attention reads; `queries`, `keys`, `values` of each head; `products`: "
        "q·k; `scores`: q·k / √D before the mask; `masked`: with it; `attention`: their softmax; `maps`: attention "
        "at a glance; `context`: what each head reads; `residual`: the stream after the embeddings and after each half "
        "of a block; `norms`: lengths of its vectors; `logit_lens`: the likeliest tokens if the network ended after a "
        "layer; `loss`: of each token's successor, with its rank; `logits`: of all tokens; `next`: of the likeliest."
    )
    layers: Numbers | None = Field(None, description="From 0, in the order wanted; omitted: all.")
    heads: Numbers | None = Field(None, description="Query heads, from 0; omitted: all.")
    tokens: Numbers | None = Field(
        None,
        description="Positions from 0: the rows of what comes back; omitted: all. A matrix of attention has all "
        "tokens as columns.",
    )
    top: int = Field(5, ge=1, le=MAX_TOP, description="Tokens that `logit_lens` and `next` name, likeliest first.")
    temperature: float = Field(1.0, ge=0, le=100, description="For what `logits` and `next` say of the draw.")
    top_k: int | None = Field(None, ge=1, le=2**20)
    top_p: float | None = Field(None, gt=0, le=1)
    min_p: float | None = Field(None, ge=0, le=1)
    encoding: Literal["json", "base64"] = Field(
        "json", description="Of tensors: nested lists, null where a number is infinite or NaN; or base64 of float32."
    )


class TensorOut(Out):
    """Numbers in rows, the last index fastest."""

    shape: list[int]
    dtype: Literal["float32"]
    data: list[object] | str = Field(
        description="Nested lists, null for what is infinite or NaN; or the base64 of little-endian float32."
    )


class EmbeddingsOut(Out):
    """Vectors (tokens, emb_dim)."""

    token: TensorOut
    position: TensorOut | None = Field(description="Null where positions turn queries and keys instead (rotary).")
    sum: TensorOut = Field(description="What enters the first block.")


class InputOut(Out):
    """What a layer's attention reads: vectors (layers, tokens, emb_dim)."""

    stream: TensorOut
    normed: TensorOut = Field(description="The same behind the layer's norm: queries, keys, values are made of it.")


class MapsOut(Out):
    """Attention at a glance. Shares are means over the tokens asked for."""

    largest: TensorOut = Field(
        description="(layers, heads, up to 40, up to 40): rows and columns in as many blocks, of each block its "
        "largest weight. Token p of n is in block ⌊p · blocks / n⌋; up to 40 tokens each is a block."
    )
    to_first: TensorOut = Field(description="(layers, heads): what is given to the first token.")
    to_previous: TensorOut = Field(description="(layers, heads): to the token before, by those that have one.")
    to_itself: TensorOut = Field(description="(layers, heads)")


class ResidualOut(Out):
    """The stream: `embedding` (tokens, …), the others (layers, tokens, …); … is emb_dim, or nothing for norms."""

    embedding: TensorOut
    after_attention: TensorOut
    after_feed_forward: TensorOut


class LogitsOut(Out):
    """(tokens, vocab_size) each."""

    raw: TensorOut
    sampled: TensorOut = Field(description="Log-probabilities of the draw; -inf (null) for what the filters leave out.")


class InspectedTokenOut(Out):
    id: int
    text: str = Field(description="U+FFFD where the bytes are no UTF-8 by themselves.")
    bytes: list[int]


class LensTokenOut(InspectedTokenOut):
    logprob: float | None


class LensPositionOut(Out):
    position: int
    top: list[LensTokenOut]


class LensOut(Out):
    layer: int
    tokens: list[LensPositionOut]


class TokenLossOut(InspectedTokenOut):
    """What the network thought of the token that follows `position`."""

    position: int
    loss: float | None = Field(description="Its negative log-probability.")
    rank: int = Field(description="1: no token was likelier.")


class LossOut(Out):
    mean: float | None = Field(description="Null where no token has a successor, or a loss is no number.")
    tokens: list[TokenLossOut]


class NextTokenOut(InspectedTokenOut):
    logit: float | None
    logprob: float | None = Field(description="By the model alone.")
    sampled_logprob: float | None = Field(description="After temperature and filters; null: they left it out.")


class NextOut(Out):
    position: int
    top: list[NextTokenOut]


class InspectOut(Out):
    """What was looked at, and of each thing wanted a field of its name; the others are not there."""

    model: str
    count: int = Field(description="Tokens that were read.")
    tokens: list[InspectedTokenOut] = Field(description="All of them, also those that were not asked for.")
    layers: list[int] = Field(description="The first index of what is given by layer.")
    heads: list[int] = Field(description="The second index of what is given by head.")
    positions: list[int] = Field(description="The rows.")
    embeddings: EmbeddingsOut | None = None
    input: InputOut | None = None
    queries: TensorOut | None = Field(
        None, description="(layers, heads, tokens, emb_dim / n_heads), positions in them where they turn (rotary)."
    )
    keys: TensorOut | None = Field(
        None, description="(layers, heads, count, emb_dim / n_heads), likewise; of all tokens, whatever `tokens` says."
    )
    values: TensorOut | None = Field(None, description="As `keys`, never turned.")
    products: TensorOut | None = Field(None, description="(layers, heads, tokens, count): q·k.")
    scores: TensorOut | None = Field(None, description="(layers, heads, tokens, count)")
    masked: TensorOut | None = Field(None, description="(layers, heads, tokens, count); -inf (null) for later tokens.")
    attention: TensorOut | None = Field(None, description="(layers, heads, tokens, count)")
    maps: MapsOut | None = None
    context: TensorOut | None = Field(None, description="(layers, heads, tokens, emb_dim / n_heads)")
    residual: ResidualOut | None = None
    norms: ResidualOut | None = None
    logit_lens: list[LensOut] | None = None
    loss: LossOut | None = None
    logits: LogitsOut | None = None
    next: list[NextOut] | None = None
