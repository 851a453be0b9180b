"""Chapter 6: a network that tells classes: its rows, its new head, its training, its verdicts."""

from __future__ import annotations

from typing import Any

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask, Only
from app.api.pages.lessons.book import BOOK, Check
from app.api.pages.lessons.common import EXACT, MODEL
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import Chapter, See, Step
from app.api.pages.lessons.train import Run, Trace, Train

_MESSAGES = Field("dataset", "Messages", "", "dataset", of="labelled", prefers="sms-spam")
_CLASSIFIER = Field("model", "Classifier", "", "model", of="classifier", none="Begin the training above.")
_SIZES = ("gpt2-124m", "gpt2-355m", "gpt2-774m", "gpt2-1558m")
_SPAM = Only(
    "rows",
    BOOK["ch06.sms.pandas"]["expected"]["rows"],
    "The book's numbers are of SMS Spam, and these are other messages: they say nothing about them.",
)


def _counts(*checks: tuple[str, str, str, str]) -> tuple[Check, ...]:
    return tuple(Check(label, at, fact, part, style="count") for label, at, fact, part in checks)


def _as_in_the_book(**changed: Any) -> dict[str, Any]:
    """Chapter 6's settings, measured at the steps at which the book measures."""
    return {"train": {"preset": "book-ch06", "eval_offset": 1} | changed}


CHAPTER = Chapter(
    6,
    "Telling classes",
    "A network that guesses tokens has read a lot. Give it another head, show it a thousand messages with the right "
    "verdict beside each, and it tells spam from the rest.",
    (
        Step(
            "balance",
            "As many of each",
            "6.2",
            Ask(
                "/lessons/labelled",
                "Balance, mix and cut",
                {},
                (
                    _MESSAGES,
                    Field("train", "Share to learn from", 0.7, "number"),
                    Field("validation", "Share to measure on", 0.1, "number"),
                    Field("seed", "Seed", 123, "integer"),
                ),
                _counts(
                    ("Messages", "rows", "ch06.sms.pandas", "rows"),
                    ("Of them ham", "labels.label=ham.rows", "ch06.sms.pandas", "ham"),
                    ("Of them spam", "labels.label=spam.rows", "ch06.sms.pandas", "spam"),
                    ("Kept", "kept", "ch06.sms.balanced", "rows"),
                    ("To learn from", "train.rows", "ch06.sms.split", "train"),
                    ("To measure on", "validation.rows", "ch06.sms.split", "val"),
                    ("For the test", "test.rows", "ch06.sms.split", "test"),
                    ("Spam to learn from", "train.labels.label=spam.rows", "ch06.sms.split", "spam_in/train"),
                ),
                "What is left out, and in which order the rest comes, is up to chance, but to that of pandas with this "
                "seed: each number must be the same.",
                "parts_of_rows",
                only=_SPAM,
            ),
        ),
        Step(
            "padding",
            "All of one length",
            "6.3",
            Ask(
                "/lessons/labelled",
                "Measure them",
                {},
                (_MESSAGES, Field("batch_size", "Messages a batch", 8, "integer")),
                _counts(
                    ("Longest to learn from, in tokens", "train.longest", "ch06.sms.maxlen", "train"),
                    ("Longest to measure on", "validation.longest", "ch06.sms.maxlen", "val"),
                    ("Longest of the test", "test.longest", "ch06.sms.maxlen", "test"),
                    ("Batches to learn from", "train.batches", "ch06.sms.batches", "train"),
                    ("To measure on", "validation.batches", "ch06.sms.batches", "val"),
                    ("For the test", "test.batches", "ch06.sms.batches", "test"),
                ),
                EXACT,
                "parts_of_rows",
                only=_SPAM,
            ),
            (See(places.DATASETS, "Lengths and classes of a dataset, drawn"),),
        ),
        Step(
            "last",
            "The last token has seen all",
            "6.5",
            Ask(
                "/inspect",
                "Who looks at whom?",
                {"want": ["attention"], "layers": [1]},
                (MODEL, Field("text", "Text", "Do you have time"), Field("heads", "Head", [4], "numbers")),
                view="attention",
            ),
            (See("/ui/learn/3#causal", "Why no token looks ahead"),),
        ),
        Step(
            "head",
            "A new head",
            "6.5",
            Ask(
                "/lessons/size",
                "Change the head and count",
                {"qkv_bias": True},
                (
                    Field("preset", "Size", _SIZES[0], "choice", choices=tuple((name, name) for name in _SIZES)),
                    Field("classes", "Classes", 2, "integer"),
                ),
                _counts(
                    ("Weights", "classifier.parameters", "ch06.head.params", "total"),
                    ("Of them learn", "classifier.learning", "ch06.head.params", "trainable"),
                    ("The new head", "classifier.head", "ch06.head.params", "head"),
                    ("The last block", "classifier.last_block", "ch06.head.params", "last_block"),
                    ("The final norm", "classifier.final_norm", "ch06.head.params", "final_norm"),
                ),
                "Counted on the network itself, which is not allocated: each number must be the same.",
            ),
        ),
        Step(
            "loss",
            "How wrong a verdict is",
            "6.6",
            Ask(
                "/lessons/cross-entropy",
                "Measure",
                {},
                (
                    Field("logits", "Two scores a message: ham, spam", [[2, 0], [2, 0], [0.1, 0]], "rows"),
                    Field("targets", "What each is", [0, 1, 0], "numbers", "0 is ham, 1 is spam."),
                ),
                view="losses",
            ),
        ),
        Step(
            "training",
            "It learns to tell",
            "6.7",
            Train(
                "classify",
                (
                    Run("One epoch", _as_in_the_book(epochs=1)),
                    Run("The book's five epochs", _as_in_the_book()),
                ),
                (_MESSAGES, MODEL),
                "Begin the training",
                Trace(
                    "ch06.train",
                    "The book's run, of GPT-2's smallest. Another network begins elsewhere, and falls alike.",
                    offset=1,
                ),
            ),
            (See(places.JOBS, "The same with every setting in your hand"),),
        ),
        Step(
            "report",
            "How often it is right",
            "6.7",
            Ask("/models/{model}/report", "What came of it?", fields=(_CLASSIFIER,), view="accuracies", method="GET"),
            (See(places.MODELS, "Its mistakes, and its threshold"),),
        ),
        Step(
            "verdict",
            "A verdict on your own message",
            "6.8",
            Ask(
                "/classify",
                "Judge them",
                {"explain": True},
                (_CLASSIFIER, Field("input", "Messages", list(BOOK["ch06.examples"]["expected"]), "lines")),
                view="verdicts",
            ),
        ),
    ),
)
