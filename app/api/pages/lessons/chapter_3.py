"""Chapter 3: attention, from likeness alone to many heads."""

from __future__ import annotations

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.book import BOOK, Check
from app.api.pages.lessons.common import DRAWN, FOUR_DECIMALS, MODEL
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import Chapter, See, Step

_VECTORS = Field("vectors", "Vectors, a line for each token", BOOK["ch03.inputs"]["expected"], "rows")
_WIDTH = Field("d_out", "Numbers a token gets", 2, "integer")


def _checks(*checks: tuple[str, str, str]) -> tuple[Check, ...]:
    return tuple(Check(label, at, fact, style="decimals") for label, at, fact in checks)


CHAPTER = Chapter(
    3,
    "Attention",
    "A token alone does not know what it means. Attention lets it look at the tokens around it and take from each as "
    "much as fits. You build it here in four moves, with six words of three numbers each, few enough to check.",
    (
        Step(
            "simple",
            "A mean by likeness",
            "3.3",
            Ask(
                "/lessons/attention",
                "Mix the words",
                {"kind": "simple"},
                (_VECTORS,),
                _checks(
                    ("Scores", "scores.0", "ch03.simple.scores"),
                    ("Weights of the second word", "weights.0.1", "ch03.simple.weights2.softmax"),
                    ("Context vectors", "context", "ch03.simple.context"),
                ),
                f"No chance is in this, it is arithmetic. {FOUR_DECIMALS}",
                "weights",
            ),
        ),
        Step(
            "trained",
            "Queries, keys, values",
            "3.4",
            Ask(
                "/lessons/attention",
                "Draw the weights and look",
                {"kind": "matrices"},
                (_VECTORS, _WIDTH, Field("seed", "Seed", 123, "integer")),
                _checks(
                    ("Query of the second word", "queries.1", "ch03.qkv.query2"),
                    ("Its score for itself", "scores.0.1.1", "ch03.qkv.score22"),
                    ("Its weights", "weights.0.1", "ch03.qkv.weights2"),
                    ("Context vectors", "context", "ch03.v1.out"),
                ),
                DRAWN,
                "weights",
            ),
        ),
        Step(
            "causal",
            "No looking ahead",
            "3.5",
            Ask(
                "/lessons/attention",
                "Hide what comes later",
                {"kind": "causal"},
                (_VECTORS, _WIDTH, Field("seed", "Seed", 789, "integer")),
                _checks(
                    ("Scores", "scores.0", "ch03.mask.scores"),
                    ("Weights", "weights.0", "ch03.mask.weights"),
                ),
                DRAWN,
                "weights",
            ),
        ),
        Step(
            "heads",
            "Several at once",
            "3.6",
            Ask(
                "/lessons/attention",
                "Let both heads look",
                {"kind": "heads"},
                (
                    _VECTORS,
                    Field("num_heads", "Heads", 2, "integer", "They share the numbers below."),
                    _WIDTH,
                    Field("seed", "Seed", 123, "integer"),
                ),
                _checks(("Context vectors", "context", "ch03.mha.out")),
                DRAWN,
                "weights",
            ),
        ),
        Step(
            "real",
            "The same in a model that reads",
            "3.6",
            Ask(
                "/inspect",
                "Read the sentence",
                {"want": ["attention"]},
                (
                    MODEL,
                    Field("text", "Text", "The lighthouse keeper lost her key"),
                    Field("layers", "Layer", [8], "numbers"),
                    Field("heads", "Head", [2], "numbers"),
                ),
                view="attention",
            ),
            (See(places.ATTENTION, "The four stages with every number, and all layers and heads"),),
        ),
    ),
)
