"""POST /tokenize, /encode, /decode: text to tokens or ids, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import Discriminator, Tag

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.lean_route import LeanRoute
from app.api.openai.tokens import REFUSALS, tokenize_prompt
from app.api.pieces import LONG, LongWorkDep, answer
from app.api.remote import tokens as remote_tokens
from app.errors import DataMissing, TokenizerNotFound, TooLarge
from app.llm.tokenizer.base import Tokenizer
from app.schemas import token_json
from app.schemas.tokenizer import DecodeIn, DecodeOut, EncodeIn, EncodeOut, TokenizeIn, TokenizeOut
from app.schemas.vllm import PROMPT_FORM, TEXT_FORM, PromptTokenizeIn, PromptTokenizeOut, form_of
from app.services import tokens
from app.services.runtime import Runtime

router = APIRouter(tags=["tokens"], route_class=LeanRoute)

SHORT = 4096
"""Characters up to which encoding takes less time than handing it to a thread."""

_REFUSALS = refusals(TokenizerNotFound, TooLarge, DataMissing)


TokenizeBody = Annotated[
    Annotated[TokenizeIn, Tag(TEXT_FORM)] | Annotated[PromptTokenizeIn, Tag(PROMPT_FORM)], Discriminator(form_of)
]


@router.post(
    "/tokenize", response_model=TokenizeOut | list[TokenizeOut] | PromptTokenizeOut, responses=_REFUSALS | REFUSALS
)
async def tokenize(body: TokenizeBody, request: Request, runtime: RuntimeDep, long_work: LongWorkDep) -> Response:
    """Each token of a text: its id, its exact bytes, the characters it covers. Several tokenizers give a list.

    With `prompt` or `messages`, vLLM's body: the ids that a model reads.
    """
    if isinstance(body, PromptTokenizeIn):
        if runtime.remote is not None:
            return await remote_tokens.tokenize_prompt(body, request, runtime, runtime.remote)
        told = await tokenize_prompt(body, runtime)
        return Response(told.model_dump_json(exclude_none=True), media_type="application/json")
    names = runtime.settings.default_tokenizer if body.tokenizer is None else body.tokenizer

    def begin() -> Iterator[bytes]:
        tokens.check_size([body.text], runtime.settings.max_text_bytes)
        if isinstance(names, str):
            return _tokenized(body, names, _tokenizer(runtime, names, "tokenizer"))
        chosen = [_tokenizer(runtime, name, f"tokenizer.{index}") for index, name in enumerate(names)]
        return token_json.listed([_tokenized(body, *pair) for pair in zip(names, chosen, strict=True)])

    return await answer(begin, is_long=len(body.text) > LONG, long_work=long_work)


@router.post("/encode", response_model=EncodeOut, responses=_REFUSALS)
async def encode(body: EncodeIn, runtime: RuntimeDep, long_work: LongWorkDep) -> Response:
    """The ids of a text, or of each text of a list."""
    name = runtime.settings.default_tokenizer if body.tokenizer is None else body.tokenizer
    texts = [body.text] if isinstance(body.text, str) else body.text
    size, at_hand = sum(map(len, texts)), runtime.tokenizers.at_hand(name)

    def begin() -> Iterator[bytes]:
        tokens.check_size(texts, runtime.settings.max_text_bytes)
        return _encoded(body, name, at_hand or _tokenizer(runtime, name, "tokenizer"))

    if at_hand is not None and size <= SHORT:
        return Response(b"".join(begin()), media_type="application/json")
    return await answer(begin, is_long=size > LONG, long_work=long_work)


@router.post("/decode", response_model=DecodeOut, responses=_REFUSALS)
async def decode(body: DecodeIn, runtime: RuntimeDep, long_work: LongWorkDep) -> Response:
    """The text of ids, or of each list of ids; U+FFFD where their bytes are no UTF-8."""
    name = runtime.settings.default_tokenizer if body.tokenizer is None else body.tokenizer

    def begin() -> Iterator[bytes]:
        tokenizer = _tokenizer(runtime, name, "tokenizer")
        texts = tokens.decode(tokenizer, body.lists, runtime.settings.max_text_bytes, is_batch=body.is_batch)
        return iter([json.dumps({"text": texts if body.is_batch else texts[0]}).encode()])

    return await answer(begin, is_long=sum(map(len, body.lists)) > LONG, long_work=long_work)


def _tokenizer(runtime: Runtime, name: str, param: str) -> Tokenizer:
    with runtime.database.read() as session:  # given back before the long work
        return runtime.tokenizers.get(session, name, param)


def _encoded(body: EncodeIn, name: str, tokenizer: Tokenizer) -> Iterator[bytes]:
    parse = body.specials == "parse"
    if isinstance(body.text, str):
        ids = tokens.encode(tokenizer, body.text, parse_special=parse)
        return token_json.encoded(name, len(ids), token_json.id_list(ids))
    lists = [
        tokens.encode(tokenizer, text, parse_special=parse, param=f"text.{index}")
        for index, text in enumerate(body.text)
    ]
    return token_json.encoded(name, sum(map(len, lists)), token_json.listed(map(token_json.id_list, lists)))


def _tokenized(body: TokenizeIn, name: str, tokenizer: Tokenizer) -> Iterator[bytes]:
    """Encodes at once, so that a refusal comes before the answer; the rest follows as it is sent."""
    ids = tokens.encode(tokenizer, body.text, parse_special=body.specials == "parse")
    return token_json.tokenized(name, len(ids), tokenizer.walk(body.text, ids))
