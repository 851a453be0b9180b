"""Chapter 7's training, and what is made of it: answers to be read, answers to be marked."""

from __future__ import annotations

from typing import Any

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.common import MODEL, TASKS
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import See, Step
from app.api.pages.lessons.train import Run, Trace, Train

_SHORT = {
    "template": "alpaca",
    "trainable": "last_block",
    "learning_rate": 1e-3,
    "max_steps": 26,
    "eval_every": 5,
    "eval_offset": 1,
}
"""Of the last block alone, and as often measured as the book's."""
_ASKED = "Rewrite the sentence using a simile.\n\nThe car is very fast."
_JUDGE = Field("evaluate.judge.model", "Judge", "", "model", none=MODEL.none)


def _marked(rows: int) -> dict[str, Any]:
    asked = {"kind": "judge", "prompt_style": "alpaca", "max_new_tokens": 64, "max_rows": rows}
    return {"evaluate": asked, "seed": 123}


STEPS = (
    Step(
        "training",
        "It learns to answer",
        "7.6",
        Train(
            "instruct",
            (
                Run("Twenty-six steps of the last block", {"train": _SHORT, "seed": 123}),
                Run("The book's settings: all of it, two epochs", {"train": {"preset": "book-ch07"}}),
            ),
            (TASKS, MODEL),
            "Begin the training",
            Trace("ch07.train", "The book's run, of GPT-2 with 355 million weights. Yours begins elsewhere.", offset=1),
        ),
        (See(places.JOBS, "The same with every setting in your hand"),),
    ),
    Step(
        "answers",
        "Ask it",
        "7.7",
        Ask(
            "/generate",
            "Answer",
            {"messages": [{"role": "user", "content": ""}], "temperature": 0},
            (
                MODEL,
                Field("messages.0.content", "Task", _ASKED, "text"),
                Field("max_new_tokens", "Tokens at most", 40, "integer"),
            ),
            view="written",
        ),
        (See("/", "Talk with it"),),
    ),
    Step(
        "judge",
        "A judge gives marks",
        "7.8",
        Train(
            "evaluate",
            (
                Run("Five answers", _marked(5)),
                Run("Fifty answers", _marked(50)),
            ),
            (TASKS, MODEL, _JUDGE),
            "Have it judged",
        ),
        (See(places.JOBS, "Two models side by side, or a judge on another server"),),
    ),
)
