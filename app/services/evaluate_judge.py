"""The kind `judge`: models answer, and a judge marks each answer by the reference, or compares two in both orders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from app.db.tables.result import ResultRow
from app.llm.judging import choice_prompt, mark_prompt, read_choice, read_mark, verdict
from app.services import evaluate_answers, judges
from app.services.evaluation_rows import question_of
from app.services.evaluation_work import Work
from app.services.judges import Reply

VERDICTS = ("win", "loss", "tie", "disagreed", "unparsable", "failed")


def run(work: Work) -> None:
    """Have all rows answered, then judged; both go on where they were."""
    compared = 1 if work.settings["pairwise"] else len(work.models)
    judged = compared * work.rows.count
    evaluate_answers.run(work, steps_after=judged)
    before = work.rows.count * len(work.models)
    total = before + judged
    for place in range(compared):
        left = list(_to_judge(work, place))
        done = before + (place + 1) * work.rows.count - len(left)
        what = "the judge compares" if work.settings["pairwise"] else f"the judge marks {work.models[place]}"
        work.begin(what, place, done=done, total=total)
        if left:
            _judge(work, left)
    work.flush()


def _judge(work: Work, left: list[int]) -> None:
    """Have rows judged; a judge that is a model here is out of memory afterwards."""
    with judges.judge(work) as judge:
        (_compare if work.settings["pairwise"] else _mark)(work, judge, left)


def report(work: Work) -> list[dict[str, Any]]:
    """As of the answers; with the judge's marks, or what came of the comparisons."""
    found = evaluate_answers.report(work)
    if work.settings["pairwise"]:
        counts = Counter(each.verdict for each in work.results(0))
        counts["failed"] += counts.pop(None, 0)
        first, second = work.models
        told = {name: counts[name] for name in VERDICTS}
        found[0] |= {"against": second, "verdicts": told}
        found[1] |= {"against": first, "verdicts": told | {"win": told["loss"], "loss": told["win"]}}
        return found
    for place, entry in enumerate(found):
        marks: list[float] = []
        unparsable = unanswered = 0
        for each in work.results(place):
            if each.score is not None:
                marks.append(each.score)
            elif any(one.get("reply") is not None for one in each.judgements):
                unparsable += 1
            elif each.judgements:
                unanswered += 1
        entry |= {
            "score": evaluate_answers.mean(marks),
            "scored": len(marks),
            "unparsable": unparsable,
            "judge_failed": unanswered,
        }
    return found


def _to_judge(work: Work, place: int) -> Iterator[int]:
    """Rows whose answers were not judged yet; what has no answer is never."""
    for each in work.results(place):
        if not each.judgements:
            yield each.row


class _Answers:
    """Questions with what each model answered, by row."""

    def __init__(self, work: Work, places: Iterable[int], wanted: set[int]) -> None:
        self.of: list[dict[int, ResultRow]] = [
            {each.row: each for each in work.results(place) if each.row in wanted} for place in places
        ]
        lines = work.rows.lines(work.runtime.storage)
        self.shown = {
            line.number: question_of(line, work.rows.columns).shown for line in lines if line.number in wanted
        }


def _mark(work: Work, judge: judges.Judge, left: list[int]) -> None:
    answers = _Answers(work, [work.place], set(left))
    asked: dict[int, str] = {}

    def questions() -> Iterator[tuple[int, str]]:
        for row in left:
            found = answers.of[0][row]
            if found.answer is None:
                work.judged(row, score=None, verdict=None, judgements=[_not_asked(found.error)])
                continue
            asked[row] = mark_prompt(answers.shown[row], found.reference or "", found.answer)
            yield row, asked[row]

    for reply in judge.replies(questions()):
        mark = None if reply.text is None else read_mark(reply.text)
        said = _said(asked.pop(reply.number), reply) | {"score": mark}
        work.judged(reply.number, score=mark, verdict=None, judgements=[said])


def _compare(work: Work, judge: judges.Judge, left: list[int]) -> None:
    """Each pair twice, the second time with the answers in each other's place."""
    answers = _Answers(work, [0, 1], set(left))
    asked: dict[int, str] = {}
    said: dict[int, dict[int, dict[str, Any]]] = {}

    def questions() -> Iterator[tuple[int, str]]:
        for row in left:
            ours, theirs = (found[row] for found in answers.of)
            if ours.answer is None or theirs.answer is None:
                why = ours.error or theirs.error
                work.judged(row, score=None, verdict="failed", judgements=[_not_asked(why)])
                continue
            for order, (first, second) in enumerate(((ours, theirs), (theirs, ours))):
                prompt = choice_prompt(
                    answers.shown[row], ours.reference or "", first.answer or "", second.answer or ""
                )
                asked[2 * row + order] = prompt
                yield 2 * row + order, prompt

    for reply in judge.replies(questions()):
        row, order = divmod(reply.number, 2)
        choice = None if reply.text is None else read_choice(reply.text)
        both = said.setdefault(row, {})
        first = work.models[order]
        both[order] = _said(asked.pop(reply.number), reply) | {"choice": choice, "first": first}
        if len(both) == 2:
            judgements = [both[0], both[1]]
            work.judged(row, score=None, verdict=_verdict(judgements), judgements=judgements)
            del said[row]


def _verdict(judgements: list[dict[str, Any]]) -> str:
    if any(each["reply"] is None for each in judgements):
        return "failed"
    choices = [each["choice"] for each in judgements]
    return "unparsable" if None in choices else verdict(*choices)


def _said(prompt: str, reply: Reply) -> dict[str, Any]:
    return {"prompt": prompt, "reply": reply.text, "error": reply.error, "attempts": reply.attempts}


def _not_asked(why: str | None) -> dict[str, Any]:
    return {"prompt": None, "reply": None, "error": f"there is no answer to judge: {why}", "attempts": 0}
