"""Rows as `instruct` and `dpo` would learn from them, out of the very code that the job runs. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from app.errors import InvalidRequest
from app.llm.config import ModelConfig
from app.llm.data.taught import TaughtIds
from app.llm.tokenizer.base import Tokenizer
from app.llm.train.config import AnswerConfig, PreferenceConfig
from app.schemas.job import JobCreate
from app.schemas.job_preview import JobPreviewOut, JobPreviewQuery
from app.services import job_checks, tokens
from app.services.answer_rows import AnswerRows
from app.services.job_rows import Line
from app.services.runtime import Runtime


def preview(runtime: Runtime, body: JobCreate, query: JobPreviewQuery) -> JobPreviewOut:
    """The first rows of the job that `body` asks for, as tokens, each with whether it is learnt.

    Raises:
        InvalidRequest: the recipe learns no answers, or one of the rows cannot be learnt from; with its line.
        AppError: as for the job itself.
    """
    with runtime.database.read() as session:
        plan = job_checks.plan(session, runtime, body)
    asked, tokenizer, rows = plan.asked, plan.tokenizer, plan.rows
    if not isinstance(asked.train, AnswerConfig) or rows is None or tokenizer is None:
        told = f"{body.recipe} learns no answers; instruct and dpo have a preview"
        raise InvalidRequest(f"recipe: {told}", param="recipe")
    assert isinstance(asked.network, ModelConfig), "such recipes learn with decoders"
    read = AnswerRows.of(asked.train, asked.network, tokenizer, asked.chat_template, rows.columns)
    lines = (line for line in rows.lines(runtime.storage, "dataset") if line.number > query.after)
    examples = [
        _shown(tokenizer, row, line, answer, query.tokens)
        for line in islice(lines, query.limit)
        for answer, row in _examples(read, line, isinstance(asked.train, PreferenceConfig))
    ]
    return JobPreviewOut.model_validate(
        {"template": asked.train.template, "examples": examples, "has_more": next(lines, None) is not None}
    )


def _examples(read: AnswerRows, line: Line, is_pair: bool) -> Iterator[tuple[str | None, TaughtIds]]:
    if not is_pair:
        yield None, read.taught(line)
        return
    pair = read.taught_pair(line)
    yield "chosen", pair.chosen
    yield "rejected", pair.rejected


def _shown(tokenizer: Tokenizer, row: TaughtIds, line: Line, answer: str | None, most: int) -> dict[str, Any]:
    known = zip(row.ids[:most], row.learnt, strict=False)
    return {
        "line": line.number,
        "answer": answer,
        "tokens": [
            {"id": token_id, "text": tokens.text_of(tokenizer, token_id), "learnt": learnt}
            for token_id, learnt in known
        ],
        "total": len(row.ids),
        "learnt": sum(row.learnt[1:]),
    }
