"""What OpenAI's bodies ask for, as work for the engine; every refusal comes before the work begins.

Knows prompts, choices and the best of them; knows neither HTTP nor how an answer is written down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from app.config import Settings
from app.db.base import new_id
from app.errors import InvalidRequest, TokenOutOfRange
from app.llm.config import SamplingParams
from app.llm.engine.request import Request
from app.schemas.generate import Message
from app.schemas.openai import ChatIn, ChatMessage, CompletionIn, SamplingIn
from app.services import tokens
from app.services.constraints import json_constraint
from app.services.generation import (
    SEEDS,
    Choice,
    Generation,
    Work,
    chat_ids,
    chosen_seed,
    new_tokens_room,
    text_ids,
    with_seed,
)
from app.services.loaded_model import LoadedModel
from app.services.runtime import Runtime

LEAST_TOP_P = 1e-9  # the likeliest token alone, which is what OpenAI's 0 means


@dataclass(frozen=True)
class Completion:
    """A call of /v1/completions, checked. Choice `i` of prompt `p` is number `p * n + i`."""

    generation: Generation
    model: LoadedModel
    prompts: list[list[int]]
    texts: list[str]
    per_prompt: int

    def prompt_of(self, choice: int) -> int:
        """The number of the prompt that the engine's choice continues."""
        return choice // self.per_prompt

    def best(self, choices: Sequence[Choice], n: int) -> list[Choice]:
        """The `n` choices of each prompt whose tokens are likeliest on average, best first; all of them in order."""
        if n == self.per_prompt:
            return list(choices)
        kept: list[Choice] = []
        for first in range(0, len(choices), self.per_prompt):
            kept += sorted(choices[first : first + self.per_prompt], key=_mean_logprob, reverse=True)[:n]
        return kept


@dataclass(frozen=True)
class Conversation:
    """A call of /v1/chat/completions, checked."""

    generation: Generation
    model: LoadedModel


async def prepare_completion(runtime: Runtime, body: CompletionIn) -> Completion:
    """Find the model, loading it if need be, and check everything that can be known before the work begins.

    Raises:
        InvalidRequest: a prompt without a token, or more choices than the queue takes.
        TokenOutOfRange: an id of a prompt or with a bias is not the model's.
        ModelNotFound, CheckpointNotFound, DataMissing, NotReady: as `Models.wait_for`.
        TooLarge, UnknownWord, ContextLengthExceeded, QueueFull: as `generation.prepare`.
    """
    texts = [prompt for prompt in body.prompt if isinstance(prompt, str)]
    tokens.check_size(texts, runtime.settings.max_text_bytes, param="prompt")
    per_prompt = body.best_of or body.n
    count = len(body.prompt) * per_prompt
    _check_count(count, "prompt" if len(body.prompt) > 1 else "n", runtime.settings)
    model = await runtime.model(body.model)
    model.loop.check_room(count)
    return await asyncio.to_thread(_completion, model, body, per_prompt, runtime.settings)


async def prepare_chat(runtime: Runtime, body: ChatIn) -> Conversation:
    """As `prepare_completion`.

    Raises:
        NoChatTemplate: the model has none.
        WrongModel: its tokens cannot be held to a schema.
        AppError: as `prepare_completion`.
    """
    tokens.check_size([each.text for each in body.messages], runtime.settings.max_text_bytes, param="messages")
    _check_count(body.n, "n", runtime.settings)
    model = await runtime.model(body.model)
    model.loop.check_room(body.n)
    return await asyncio.to_thread(_conversation, model, body, runtime.settings)


def _completion(model: LoadedModel, body: CompletionIn, per_prompt: int, settings: Settings) -> Completion:
    prompts = [_ids(model, prompt, index, len(body.prompt)) for index, prompt in enumerate(body.prompt)]
    for ids in prompts:
        new_tokens_room(model, len(ids), settings, body.max_tokens, "prompt", "max_tokens")
    texts = [
        prompt if isinstance(prompt, str) else model.tokenizer.decode(prompt) if body.echo else ""
        for prompt in body.prompt
    ]
    params = _params(model, body, body.max_tokens, body.logprobs or 0)
    scored = (body.logprobs or 0) if body.echo and (body.logprobs is not None or body.max_tokens == 0) else None
    id_ = new_id("cmpl")
    requests = tuple(
        Request(
            f"{id_}-{place}-{index}",
            tuple(ids),
            with_seed(params, index),
            model.stop_ids,
            prompt_logprobs=scored,
            adapter=model.adapter,
        )
        for place, ids in enumerate(prompts)
        for index in range(per_prompt)
    )
    work = Work(id_, requests, body.stop, sum(map(len, prompts)), params.seed)
    return Completion(Generation(model, work), model, prompts, texts, per_prompt)


def _conversation(model: LoadedModel, body: ChatIn, settings: Settings) -> Conversation:
    ids = conversation_ids(model, body.messages)
    asked = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    name = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
    room = new_tokens_room(model, len(ids), settings, asked, "messages", name)
    params = _params(model, body, room if asked is None else asked, body.top_logprobs or 0)
    id_ = new_id("chatcmpl")
    schema = None if body.response_format is None else body.response_format.schema_of_answer
    constraint = None if schema is None else json_constraint(model, schema)
    requests = tuple(
        Request(
            f"{id_}-{index}",
            tuple(ids),
            with_seed(params, index),
            model.stop_ids,
            constraint=constraint and constraint.copy(),
            adapter=model.adapter,
        )
        for index in range(body.n)
    )
    return Conversation(Generation(model, Work(id_, requests, body.stop, len(ids), params.seed)), model)


def conversation_ids(model: LoadedModel, messages: Sequence[ChatMessage]) -> list[int]:
    """As `chat_ids`, of messages as OpenAI's clients send them."""
    roles = {"developer": "system"}
    told = [{"role": roles.get(each.role, each.role), "content": each.text} for each in messages]
    return chat_ids(model, [Message.model_validate(each) for each in told])


def _params(model: LoadedModel, body: SamplingIn, max_new_tokens: int, top_logprobs: int) -> SamplingParams:
    biases = tuple((int(key), bias) for key, bias in body.logit_bias.items())
    for token_id, _ in biases:
        if token_id >= model.config.vocab_size:
            told = f"logit_bias.{token_id}: the ids of {model.name} are 0..{model.config.vocab_size - 1}"
            raise TokenOutOfRange(told, param=f"logit_bias.{token_id}")
    return SamplingParams(
        max_new_tokens=max_new_tokens,
        temperature=body.temperature,
        top_k=body.top_k,
        top_p=max(body.top_p, LEAST_TOP_P),
        min_p=body.min_p,
        repetition_penalty=body.repetition_penalty,
        seed=chosen_seed(body.seed) % SEEDS,
        top_logprobs=top_logprobs,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=biases,
    )


def _ids(model: LoadedModel, prompt: str | list[int], index: int, count: int) -> list[int]:
    param = "prompt" if count == 1 else f"prompt.{index}"
    if isinstance(prompt, str):
        return text_ids(model, prompt, param)
    tokens.check_ids(prompt, model.config.vocab_size, param)
    return prompt


def _check_count(count: int, param: str, settings: Settings) -> None:
    if count > settings.max_queued_requests:
        most = settings.max_queued_requests
        raise InvalidRequest(f"{param}: {count} choices in all are more than the queue's {most}", param=param)


def _mean_logprob(choice: Choice) -> float:
    return sum(token.logprob for token in choice.tokens) / max(1, len(choice.tokens))
