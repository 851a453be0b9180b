"""The kind `choices`: of several answers to a question, which do models find likeliest. Asked and scored by lm-eval."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from app.errors import AppError
from app.services import evaluation_models, extras
from app.services.choice_rows import ChoiceRow, choice_of
from app.services.evaluation_work import Work

if TYPE_CHECKING:
    from app.services.choice_task import Scorer


def run(work: Work) -> None:
    """Have each model choose an answer to each row that it was not asked yet.

    Raises:
        PackageMissing: lm-eval is not installed where this job runs.
    """
    extras.need_lm_eval("evaluate.kind")
    rows = []
    for line in work.rows.lines(work.runtime.storage):  # a mistake in the last row is told before the first answer
        rows.append(choice_of(line, work.rows.columns))
        work.check()
    total = len(rows) * len(work.models)
    for place, name in enumerate(work.models):
        known = work.done(place)
        work.begin(f"{name} chooses", place, done=place * len(rows) + len(known), total=total)
        if len(known) < len(rows):
            _choose(work, name, rows, known)
        work.flush()


def report(work: Work) -> list[dict[str, Any]]:
    """Of each model, how many rows it chose rightly in, by both of lm-eval's accuracies."""
    from app.services.choice_task import METRICS, in_sum

    found = []
    for place, name in enumerate(work.models):
        told = list(work.results(place))
        figures = [each.figures for each in told if each.error is None]
        sums: dict[str, float | None] = {}
        for metric in METRICS:
            sums[metric], sums[f"{metric}_stderr"] = in_sum([float(each[metric]) for each in figures])
        chance, _ = in_sum([1 / len(each["choices"]) for each in figures])
        counts = {"rows": len(told), "failed": len(told) - len(figures)}
        cut = sum(each["tokens_cut"] > 0 for each in figures)
        found.append({"model": name} | counts | {"cut": cut} | sums | {"chance": chance})
    return found


def _choose(work: Work, name: str, rows: list[ChoiceRow], known: set[int]) -> None:
    from app.services.choice_task import Scorer, task_of  # late: seconds of imports, and an extra

    task = task_of(rows, work.settings["form"], work.job.seed)
    shots = work.settings["num_fewshot"]
    with evaluation_models.lent(work, name) as writer:
        scorer = Scorer(writer.network, writer.tokenizer)
        for row, doc in zip(rows, task.eval_docs, strict=True):
            prompt = task.fewshot_context(doc, num_fewshot=shots)  # of known rows, too: examples are drawn in order
            if row.line not in known:
                found = _chosen(task, scorer, row, doc, prompt)
                work.add(row.line, prompt=prompt, reference=row.choices[row.answer], **found)


def _chosen(task: Any, scorer: Scorer, row: ChoiceRow, doc: dict[str, Any], prompt: str) -> dict[str, Any]:
    """What a model makes of a row, or why it can make nothing of it."""
    try:
        found = scorer.loglikelihood(task.construct_requests(doc, prompt), disable_tqdm=True)
    except AppError as error:
        return {"error": error.message.removeprefix("dataset: ")}
    if not all(math.isfinite(log_probability) for log_probability, _ in found):
        return {"error": "the model's logits are no numbers here"}
    choices = [
        {"text": text, "log_probability": log_probability, "is_greedy": is_greedy}
        for text, (log_probability, is_greedy) in zip(row.choices, found, strict=True)
    ]
    likeliest = max(choices, key=lambda each: each["log_probability"])
    metrics = task.process_results(doc, found)
    return {"answer": likeliest["text"], "figures": metrics | {"tokens_cut": scorer.cut, "choices": choices}}
