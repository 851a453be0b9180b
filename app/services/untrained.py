"""The book's 124M GPT as it is drawn, before it learns anything: what it writes, and how wrong it is (4.7 and 5.1).

It takes 650 MB and some seconds, is made for one call at a time, and is gone afterwards. Knows no HTTP.
"""

from __future__ import annotations

import math
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from app.errors import ContextLengthExceeded, DoesNotFit, InvalidRequest
from app.llm.tokenizer.base import Tokenizer
from app.schemas.lessons import GuessOut, UntrainedIn, UntrainedOut, WrittenOut
from app.services import machine, memory, tokens
from app.services.gate import ComputeGate
from app.services.lesson_numbers import seeded
from app.services.runtime import Runtime

if TYPE_CHECKING:  # torch takes a second to import
    from app.llm.lessons.gpt import GPT

NEEDED_BYTES = 1 << 30
"""Of weights, the largest pass, and the room to leave to others."""
MAX_TOKENS = 128
"""Of one text with what is written: each new token reads all of it again."""
_one_at_a_time = threading.Lock()


def look(runtime: Runtime, body: UntrainedIn) -> UntrainedOut:
    """Draw the model, have it guess each token of the texts, and go on with them. Takes some seconds.

    Raises:
        DataMissing: GPT-2's vocabulary is not on this machine.
        InvalidRequest: a text has no token.
        ContextLengthExceeded: a text and what is to be written are longer than `MAX_TOKENS`.
        DoesNotFit: the machine has not the memory for it.
    """
    with runtime.database.read() as session:
        tokenizer = runtime.tokenizers.get(session, "gpt2")
    texts = [_ids(tokenizer, text, place, body) for place, text in enumerate(body.texts)]
    if machine.memory_bytes() < 2 * NEEDED_BYTES:
        there = f"{machine.memory_bytes():,} bytes are there"
        raise DoesNotFit(f"the untrained model needs {2 * NEEDED_BYTES:,} bytes beside the service, and {there}")
    with _one_at_a_time:
        try:
            return _looked(body, texts, tokenizer, runtime.models.cpu_gate)
        finally:
            memory.collect()


def _ids(tokenizer: Tokenizer, text: str, place: int, body: UntrainedIn) -> list[int]:
    param = f"texts.{place}"
    ids = tokens.encode(tokenizer, text, parse_special=False, param=param)
    if not ids:
        raise InvalidRequest(f"{param}: there is no token in it", param=param)
    if len(ids) + body.max_new_tokens > MAX_TOKENS:
        told = f"{len(ids)} tokens and {body.max_new_tokens} new ones are more than the {MAX_TOKENS} of this lesson"
        raise ContextLengthExceeded(f"{param}: {told}", param=param)
    return ids


def _looked(body: UntrainedIn, texts: list[list[int]], tokenizer: Tokenizer, gate: ComputeGate) -> UntrainedOut:
    from app.llm.lessons.cost import parameter_count
    from app.llm.lessons.gpt import GPT, GPT_CONFIG_124M

    with seeded(body.seed):
        gpt = GPT(replace(GPT_CONFIG_124M, context_length=body.context_length)).eval()
    told = [_written(gpt, ids, body.max_new_tokens, tokenizer, gate) for ids in texts]
    logs = [guess.log for one in told for guess in one.guesses]
    loss = -math.fsum(logs) / len(logs) if logs else None
    return UntrainedOut(
        parameters=parameter_count(gpt), texts=told, loss=loss, perplexity=None if loss is None else math.exp(loss)
    )


def _written(gpt: GPT, ids: list[int], more: int, tokenizer: Tokenizer, gate: ComputeGate) -> WrittenOut:
    import torch

    from app.llm.lessons.generation import generate_text_simple
    from app.llm.lessons.text_loss import target_probabilities

    text = torch.tensor([ids])  # (1, T)
    with torch.no_grad(), gate:
        logits = gpt(text)[:, :-1]  # (1, T - 1, V): what follows the last token is not in the text
    probabilities = target_probabilities(logits, text[:, 1:])[0]
    guesses = [
        GuessOut(
            text=tokens.text_of(tokenizer, ids[place + 1]),
            id=ids[place + 1],
            probability=probability,
            log=math.log(probability),
            likeliest=tokens.text_of(tokenizer, likeliest),
            likeliest_id=likeliest,
        )
        for place, (probability, likeliest) in enumerate(
            zip(probabilities.tolist(), logits.argmax(-1)[0].tolist(), strict=True)
        )
    ]
    for _ in range(more):
        with gate:  # handed on after each token, so that no stream waits for a whole text
            text = generate_text_simple(gpt, text, 1, gpt.config.context_length)
    written: list[int] = text[0].tolist()
    return WrittenOut(ids=written, text=tokenizer.decode(written), guesses=guesses)
