"""JSON alone, by a schema: what may come next is told by llguidance, token by token.

Spaces stand where `json.dumps` puts them and nowhere else: a model that may write spaces may write them for ever.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from app.errors import InvalidRequest, WrongModel
from app.llm.errors import LLMError
from app.llm.tokenizer.base import Tokenizer
from app.services.loaded_model import LoadedModel

if TYPE_CHECKING:
    from torch import Tensor

SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
PARAM = "response_format"
ENDLESS = ("NoExtensionBias", "Too many items")
"""What llguidance says where nothing may follow, or where a text without an end must."""


class JsonConstraint:
    """A `Constraint` of the engine. Belongs to one request."""

    def __init__(self, matcher: LLMatcher, vocab_size: int) -> None:
        self._matcher, self._vocab_size = matcher, vocab_size

    def allowed(self) -> Tensor:
        import torch

        mask = self._matcher.compute_logit_bias()
        self._check()
        return torch.frombuffer(bytearray(mask), dtype=torch.uint8)[: self._vocab_size].bool()

    def accept(self, token_id: int) -> None:
        self._matcher.consume_token(token_id)
        self._check()

    def copy(self) -> JsonConstraint:
        """Another one, for another request, at the same place."""
        return JsonConstraint(self._matcher.deep_copy(), self._vocab_size)

    def _check(self) -> None:
        if self._matcher.is_error():
            raise LLMError(f"the schema cannot be followed any further: {_first_line(self._matcher.get_error())}")


def json_constraint(model: LoadedModel, schema: dict[str, Any]) -> JsonConstraint:
    """What `schema` lets `model` write, from the beginning. May take a second.

    Raises:
        WrongModel: the model's tokens are words, or none of them ends a text.
        InvalidRequest: the schema is none, cannot be met, or says something that is not supported.
    """
    if model.tokenizer.kind != "bpe" or not model.stop_ids:
        raise WrongModel(f"{PARAM}: {model.name} cannot be held to a schema by its tokens", param=PARAM)
    vocabulary = _vocabulary(cast(Hashable, model.tokenizer), model.stop_ids)
    try:
        grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=cast(Any, SPACING))
        matcher = LLMatcher(vocabulary, grammar, log_level=0)
    except ValueError as error:
        raise _no_schema(str(error)) from error
    trial = matcher.deep_copy()
    if not trial.is_error() and (forced := trial.compute_ff_tokens()):
        trial.consume_token(forced[0])  # what can never be met forces text without an end, which shows here
    if not trial.is_error():
        trial.compute_logit_bias()  # or lets nothing follow
    if trial.is_error():
        raise _no_schema(trial.get_error())
    return JsonConstraint(matcher, model.config.vocab_size)


def _no_schema(why: str) -> InvalidRequest:
    if any(sign in why for sign in ENDLESS):
        why = "no answer of a length that can be written meets it; does it ask for itself again and again?"
    return InvalidRequest(f"{PARAM}: the schema cannot be followed: {_first_line(why)}", param=PARAM)


def _first_line(message: str) -> str:
    return message.strip().partition("\n")[0][:300]


class _Bytes:
    """A tokenizer as llguidance asks for one."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, stop_ids: frozenset[int]) -> None:
        self.tokens = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
        self.special_token_ids = sorted({*tokenizer.special_tokens.values(), *stop_ids})
        self.eos_token_id = min(stop_ids)
        self._tokenizer = tokenizer

    def __call__(self, text: bytes) -> list[int]:
        return self._tokenizer.encode(text.decode(errors="replace"))


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Hashable, stop_ids: frozenset[int]) -> LLTokenizer:
    """The trie of a tokenizer's tokens; takes some tenths of a second."""
    return LLTokenizer(TokenizerWrapper(_Bytes(cast(Tokenizer, tokenizer), stop_ids)), eos_token=sorted(stop_ids))
