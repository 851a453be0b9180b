"""What a network that learns answers to prompts that stay the same, for the samples of `instruct` and `dpo`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.llm.data.taught import TaughtIds
from app.llm.evaluate import write_greedily
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.base import Tokenizer
from app.services.job_data import Check

PROMPTS = 3
PROMPT_CHARACTERS = 400  # of a prompt its end is shown


def writer(
    network: Transformer, tokenizer: Tokenizer, rows: Sequence[TaughtIds], new_tokens: int, eos_id: int | None
) -> Callable[[Check], str]:
    """Writes the likeliest answers to the prompts of the first rows."""

    def write(check: Check) -> str:
        told = []
        for row in rows[:PROMPTS]:
            prompt = row.ids[: row.prompt_length]
            answer = write_greedily(network, prompt, new_tokens, stop_id=eos_id, check=check)
            shown = tokenizer.decode(prompt)[-PROMPT_CHARACTERS:]
            told.append(shown + tokenizer.decode(answer))
        return "\n\n---\n\n".join(told)

    return write
