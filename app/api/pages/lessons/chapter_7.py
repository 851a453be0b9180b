"""Chapter 7: a network that answers: its prompts, what of them it learns, its training, its marks."""

from __future__ import annotations

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask, Only
from app.api.pages.lessons.book import BOOK, Check
from app.api.pages.lessons.chapter_7_preferences import STEPS as PREFERENCES
from app.api.pages.lessons.chapter_7_training import STEPS as TRAINING
from app.api.pages.lessons.common import EXACT, FOUR_DECIMALS, MODEL, TASKS
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import Chapter, See, Step

_DATA = BOOK["ch07.data"]["expected"]
_SORTED = BOOK["ch07.mask.instruction"]["inputs"]
_LOGITS = BOOK["ch07.ignore_index"]["inputs"]["logits"]
_STYLES = (("alpaca", "Alpaca's"), ("phi3", "Phi-3's"))


def _written_out(task: dict[str, str]) -> tuple[Field, ...]:
    """Fields of a task with its answer, and the style to write it in."""
    return (
        Field("instruction", "Task", task["instruction"], "text"),
        Field("input", "What it is about", task["input"], "text"),
        Field("output", "Answer", task["output"], "text"),
        Field("template", "Style", "alpaca", "choice", choices=_STYLES),
    )


CHAPTER = Chapter(
    7,
    "Answering",
    "A network that goes on with a text does not answer; it writes more questions. Show it a thousand tasks with their "
    "answers, all in one form, and it does. Then show it which of two answers is liked better.",
    (
        Step(
            "tasks",
            "Tasks and answers",
            "7.2",
            Ask(
                "/datasets/{dataset}",
                "What is in it?",
                fields=(TASKS,),
                checks=(
                    Check("Tasks", "rows", "ch07.data", "entries", style="count"),
                    Check("Fields", "columns.*.name", "ch07.data", "keys"),
                    Check("With something that it is about", "columns.1.filled", "ch07.data", "with_input"),
                ),
                reason=EXACT,
                method="GET",
                only=Only("rows", _DATA["entries"], "The book's numbers are of its own tasks, and these are others."),
            ),
            (See(places.DATASETS, "The tasks themselves"),),
        ),
        Step(
            "prompt",
            "One form for all",
            "7.2",
            Ask(
                "/lessons/prompt",
                "Write it out",
                {},
                _written_out(_DATA["entry50"]),
                (Check("The text", "text", "ch07.prompt.alpaca"),),
                EXACT,
            ),
        ),
        Step(
            "collate",
            "Batches of what is not of one length",
            "7.3",
            Ask(
                "/lessons/collate",
                "Fill them up",
                {},
                (
                    Field("rows", "Ids, a line for each text", [[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]], "rows"),
                    Field("pad_id", "To fill up with", 50256, "integer", "GPT-2's end of a text."),
                ),
                (Check("Targets", "targets", "ch07.collate.targets"),),
                EXACT,
                "collated",
            ),
        ),
        Step(
            "ignored",
            "What does not count",
            "7.3",
            Ask(
                "/lessons/cross-entropy",
                "Measure",
                {},
                (
                    Field("logits", "Scores, a line for each place", _LOGITS, "rows"),
                    Field("targets", "What comes at each", [0, 1, -100], "numbers"),
                ),
                (Check("Loss", "loss", "ch07.ignore_index", "third_ignored", style="decimals"),),
                f"Arithmetic. {FOUR_DECIMALS}",
                "losses",
            ),
        ),
        Step(
            "masked",
            "Where the answer begins",
            "7.3",
            Ask(
                "/lessons/prompt",
                "Count its tokens",
                {},
                _written_out(_SORTED),
                (
                    Check(
                        "Tokens before the answer",
                        "prompt_tokens",
                        "ch07.mask.instruction",
                        "prompt_tokens",
                    ),
                    Check("Tokens in all", "tokens", "ch07.mask.instruction", "full_tokens"),
                ),
                EXACT,
            ),
        ),
        Step(
            "learnt",
            "What is learnt of your own rows",
            "7.3",
            Ask(
                "/jobs/preview?limit=3&tokens=300",
                "Show three rows",
                {"recipe": "instruct"},
                (TASKS, MODEL, Field("train.template", "Style", "alpaca", "choice", choices=_STYLES)),
                view="learnt",
            ),
        ),
        *TRAINING,
        *PREFERENCES,
    ),
)
