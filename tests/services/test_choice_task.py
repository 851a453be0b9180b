"""Our side of lm-eval: rows as its task with the prompts of its own ones, and a model that scores and does no more."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from app.errors import ContextLengthExceeded, InvalidRequest
from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.services.choice_rows import ChoiceRow
from tests.fakes import ByteTokenizer

pytest.importorskip("lm_eval")

from app.services.choice_task import FORMS, Scorer, in_sum, task_of

ROWS = [
    ChoiceRow(2, "Which sea?", ("the north sea", "the south"), 0),
    ChoiceRow(3, "12", ("a", "b", "c"), 2),
    ChoiceRow(5, "Who {{came}}?", ("Mira", "[1, 2]", "nobody", "A"), 3),
]
TEMPLATES = {
    "plain": ("{{question}}", "{{choices}}"),
    "question": ("Question: {{question}}\nAnswer:", "{{choices}}"),
    "letters": (
        "{{question.strip()}}\n{% for c in choices %}{{'ABCD'[loop.index0]}}. {{c}}\n{% endfor %}Answer:",
        "{{['A', 'B', 'C', 'D'][:choices|length]}}",
    ),
}
"""The forms as somebody writes them in a task of lm-eval."""


@pytest.fixture
def scorer() -> Scorer:
    torch.manual_seed(1)
    tokenizer = ByteTokenizer()
    shape = {"context_length": 24, "emb_dim": 8, "n_heads": 2, "n_layers": 1}
    return Scorer(Transformer(ModelConfig(vocab_size=tokenizer.vocab_size, **shape)).eval(), tokenizer)


def requests(task: Any, shots: int) -> list[list[tuple[str, str]]]:
    """What is asked for each row: a prompt, and what may follow."""
    return [
        [each.args for each in task.construct_requests(doc, task.fewshot_context(doc, num_fewshot=shots))]
        for doc in task.eval_docs
    ]


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_what_a_task_of_lm_eval_says(form: str) -> None:
    from lm_eval.utils import apply_template

    text, choice = TEMPLATES[form]
    for row, asked in zip(ROWS, requests(task_of(ROWS, form, 1), 0), strict=True):
        doc = {"question": row.question, "choices": list(row.choices)}
        wanted = row.choices if choice == "{{choices}}" else "ABCD"[: len(row.choices)]
        assert asked == [(apply_template(text, doc), f" {each}") for each in wanted]


def test_examples_are_other_rows_drawn_by_the_seed() -> None:
    asked = requests(task_of(ROWS, "question", 5), 2)
    assert asked == requests(task_of(ROWS, "question", 5), 2)
    for row, (prompt, _) in zip(ROWS, (each[0] for each in asked), strict=True):
        *examples, question = prompt.split("\n\n")
        assert question == f"Question: {row.question}\nAnswer:"
        others = [f"Question: {o.question}\nAnswer: {o.choices[o.answer]}" for o in ROWS if o is not row]
        assert sorted(examples) == sorted(others)
    orders = {str(requests(task_of(ROWS, "question", seed), 2)) for seed in range(8)}
    assert len(orders) > 1


def test_examples_by_letters_have_the_letter() -> None:
    prompt = requests(task_of(ROWS, "letters", 5), 2)[0][0][0]
    assert "A. a\nB. b\nC. c\nAnswer: C" in prompt


def test_rows_are_judged_by_lm_eval() -> None:
    task = task_of(ROWS, "plain", 1)
    first = next(iter(task.eval_docs))
    # likelier as a whole is the short one, a character of it the long one
    assert task.process_results(first, [(-20.0, False), (-15.0, False)]) == {"acc": 0.0, "acc_norm": 1.0}


def test_sums_are_means_with_their_errors() -> None:
    assert in_sum([]) == (None, None)
    assert in_sum([1.0]) == (1.0, None)
    mean, error = in_sum([1.0, 0.0, 1.0, 1.0])
    assert (mean, error) == (0.75, pytest.approx((3 / 16 / 3) ** 0.5))


def test_what_it_cannot_score_is_told(scorer: Scorer) -> None:
    with pytest.raises(ContextLengthExceeded, match="a continuation of 26 tokens"):
        scorer._loglikelihood_tokens([(("a", "b" * 26), [1], [2] * 26)])
    with pytest.raises(InvalidRequest, match="'b' has no token of its own"):
        scorer._loglikelihood_tokens([(("a", "b"), [1], [])])


def test_a_prompt_that_is_cut_is_told(scorer: Scorer) -> None:
    (short, long) = (scorer._loglikelihood_tokens([((text, "x"), [3] * len(text), [4])]) for text in ("abc", "a" * 30))
    assert scorer.cut == 30 + 1 - 25
    assert short != long


def test_what_is_no_part_of_multiple_choice_is_refused_by_name(scorer: Scorer) -> None:
    with pytest.raises(NotImplementedError, match="loglikelihood_rolling"):
        scorer.loglikelihood_rolling([])
    with pytest.raises(NotImplementedError, match="generate_until"):
        scorer.generate_until([])
