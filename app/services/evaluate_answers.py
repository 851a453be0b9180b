"""The kind `answers`: models answer the same prompts, and each answer is held against the one expected."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.errors import AppError
from app.llm.answer_scores import exact_match, token_f1
from app.llm.writing import Written, write_all
from app.services import evaluation_models
from app.services.evaluation_models import Writer
from app.services.evaluation_rows import Question, question_of
from app.services.evaluation_work import Work

AT_ONCE = 8
"""Prompts that are answered together; more would take more memory and hardly less time on a few cores."""


def run(work: Work, *, steps_after: int = 0) -> None:
    """Have each model answer each row that it has not answered yet.

    Args:
        steps_after: of the job, behind these.
    """
    for line in work.rows.lines(work.runtime.storage):  # a mistake in the last row is told before the first answer
        question_of(line, work.rows.columns)
        work.check()
    total = work.rows.count * len(work.models) + steps_after
    for place, name in enumerate(work.models):
        known = work.done(place)
        work.begin(f"{name} answers", place, done=place * work.rows.count + len(known), total=total)
        if len(known) < work.rows.count:
            _answer(work, name, known)
        work.flush()


def report(work: Work) -> list[dict[str, Any]]:
    """Of each model, the means over the rows that it answered."""
    found = []
    for place, name in enumerate(work.models):
        exact, f1, written, failed = [], [], [], 0
        for each in work.results(place):
            if each.error is not None:
                failed += 1
                continue
            exact.append(float(each.figures["exact_match"]))
            f1.append(float(each.figures["token_f1"]))
            written.append(float(each.figures["tokens"]))
        found.append(
            {
                "model": name,
                "rows": len(exact) + failed,
                "failed": failed,
                "exact_match": mean(exact),
                "token_f1": mean(f1),
                "answer_tokens": mean(written),
            }
        )
    return found


def mean(values: list[float]) -> float | None:
    """None without any."""
    return sum(values) / len(values) if values else None


@dataclass(frozen=True)
class _Asked:
    question: Question
    ids: list[int]


def _answer(work: Work, name: str, known: set[int]) -> None:
    """Have one model answer, which is out of memory afterwards."""
    with evaluation_models.lent(work, name) as writer:
        _answer_rows(work, writer, known)


def _answer_rows(work: Work, writer: Writer, known: set[int]) -> None:
    """Rows without an answer, some at once; a prompt that cannot be answered is a result, too."""
    asked: dict[int, _Asked] = {}

    def prompts() -> Iterator[tuple[int, list[int]]]:
        for line in work.rows.lines(work.runtime.storage):
            if line.number in known:
                continue
            question = question_of(line, work.rows.columns)
            try:
                ids = writer.prompt_ids(question, work.settings["prompt_style"])
            except AppError as error:
                work.add(line.number, reference=question.reference, prompt=question.shown, error=error.message)
                continue
            asked[line.number] = _Asked(question, ids)
            yield line.number, ids

    most = work.settings["max_new_tokens"]
    engine = evaluation_models.engine(work, writer)
    for written in write_all(engine, prompts(), most, writer.stop_ids, at_once=AT_ONCE, check=work.check):
        _keep(work, writer, asked.pop(written.number), written)


def _keep(work: Work, writer: Writer, asked: _Asked, written: Written) -> None:
    prompt, reference = writer.tokenizer.decode(asked.ids), asked.question.reference
    if written.error is not None:
        work.add(written.number, prompt=prompt, reference=reference, error=written.error)
        return
    answer = writer.tokenizer.decode(written.ids).strip()
    figures = {
        "exact_match": exact_match(answer, reference),
        "token_f1": token_f1(answer, reference),
        "tokens": len(written.ids),
    }
    work.add(written.number, prompt=prompt, reference=reference, answer=answer, figures=figures)
