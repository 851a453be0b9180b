"""lm-eval's side of multiple choice: rows as one of its tasks, and a model of ours as it asks for one.

What a prompt looks like, how it is cut into tokens, what is right and what that comes to in sum are lm-eval's own; how
likely a continuation is, our network says. Needs the extra `eval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase
from typing import Any

import datasets
from lm_eval.api.metrics import mean, mean_stderr
from lm_eval.api.model import TemplateLM
from lm_eval.api.task import ConfigurableTask

from app.errors import ContextLengthExceeded, InvalidRequest
from app.llm.continuations import Pair, likelihoods
from app.llm.errors import ContextOverflow
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.base import Tokenizer
from app.services import tokens
from app.services.choice_rows import ChoiceRow

METRICS = ("acc", "acc_norm")
SPLIT = "test"
FORMS: dict[str, dict[str, Any]] = {
    "plain": {"doc_to_text": "question", "doc_to_choice": "choices"},
    "question": {"doc_to_text": lambda row: f"Question: {row['question']}\nAnswer:", "doc_to_choice": "choices"},
    "letters": {
        "doc_to_text": lambda row: "\n".join([row["question"].strip(), *_listed(row["choices"]), "Answer:"]),
        "doc_to_choice": lambda row: list(ascii_uppercase[: len(row["choices"])]),
    },
}
"""What a prompt looks like and what is scored behind it, by the name of the form: as it is, as ARC's, as MMLU's."""


def _listed(choices: Sequence[str]) -> list[str]:
    return [f"{letter}. {choice}" for letter, choice in zip(ascii_uppercase, choices, strict=False)]


def task_of(rows: Sequence[ChoiceRow], form: str, seed: int) -> ConfigurableTask:
    """A task of these rows, examples for a prompt drawn from the others of them by `seed`."""
    docs = [
        {"row": row.line, "question": row.question, "choices": list(row.choices), "answer": row.answer} for row in rows
    ]
    config = {
        "task": "choices",
        "custom_dataset": lambda: {SPLIT: datasets.Dataset.from_list(docs)},
        "test_split": SPLIT,
        "fewshot_split": SPLIT,
        "output_type": "multiple_choice",
        "doc_to_target": "answer",
        "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in METRICS],
    }
    task = ConfigurableTask(config=config | FORMS[form])
    task.set_fewshot_seed(seed)
    return task


def in_sum(values: Sequence[float]) -> tuple[float | None, float | None]:
    """The mean and its standard error as lm-eval tells them; None where there are too few values for it."""
    return mean(values) if values else None, mean_stderr(values) if len(values) > 1 else None


class Scorer(TemplateLM):  # type: ignore[misc] # lm-eval comes without types
    """A model of ours for lm-eval: it says how likely a continuation is, and does nothing else.

    Special tokens in a text are text, as everywhere in an evaluation.

    Attributes:
        cut: tokens of the longest context of the last call that did not fit.
    """

    def __init__(self, network: Transformer, tokenizer: Tokenizer) -> None:
        super().__init__()
        self._network, self._tokenizer = network, tokenizer
        self.cut = 0

    @property
    def eot_token_id(self) -> int:
        """What an empty prompt is begun with."""
        if self._tokenizer.eos_id is None:
            raise InvalidRequest("dataset: an empty prompt needs a tokenizer with an end of text", param="dataset")
        return self._tokenizer.eos_id

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:  # noqa: ARG002 - there are none to add
        """The ids of a text.

        Raises:
            UnknownWord, InvalidRequest: the tokenizer does not take it.
        """
        return tokens.encode(self._tokenizer, string, parse_special=False, param="dataset")

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,  # noqa: ARG002 - no bar is shown
    ) -> list[tuple[float, bool]]:
        """Log probability of each continuation, and whether it is the likeliest text.

        Raises:
            InvalidRequest, ContextLengthExceeded: there is nothing to score, or more than the model can read.
        """
        for (_, choice), _, continuation in requests:
            if not continuation:
                told = f"the choice {choice[:100]!r} has no token of its own behind the prompt"
                raise InvalidRequest(f"dataset: {told}", param="dataset")
        try:
            found = likelihoods(self._network, [Pair(context, continuation) for _, context, continuation in requests])
        except ContextOverflow as error:
            raise ContextLengthExceeded(f"dataset: {error}", param="dataset") from error
        self.cut = max(each.cut for each in found)
        return [(each.log_probability, each.is_greedy) for each in found]

    def loglikelihood_rolling(self, requests: object, disable_tqdm: bool = False) -> list[float]:
        raise NotImplementedError("loglikelihood_rolling: perplexity is an evaluation's kind of its own")

    def generate_until(self, requests: object, disable_tqdm: bool = False) -> list[str]:
        raise NotImplementedError("generate_until: answers are an evaluation's kind of their own")
