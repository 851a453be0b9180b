"""Chapter 5's and appendix D's training: the book's own runs, and small ones that are soon over."""

from __future__ import annotations

from typing import Any

from app.api.pages.lessons import places
from app.api.pages.lessons.common import STORY
from app.api.pages.lessons.step import See, Step
from app.api.pages.lessons.train import Run, Trace, Train


def _small(**settings: Any) -> dict[str, Any]:
    """A network of three million weights, measured at the steps at which the book measures its own."""
    measured = {"eval_every": 15, "eval_offset": 1, "sample_every": 50, "sample_prompt": "Every effort moves you"}
    train = {"max_steps": 150} | measured
    return {"model": {"preset": "gpt-tiny"}, "tokenizer": "gpt2", "seed": 123, "train": train | settings}


STEPS = (
    Step(
        "training",
        "It learns",
        "5.2",
        Train(
            "pretrain",
            (
                Run("A small network, soon over", _small()),
                Run("The book's own run: GPT-2's smallest, ten epochs", {"train": {"preset": "book-ch05"}}),
            ),
            (STORY,),
            "Begin the training",
            Trace(
                "ch05.train.cpu",
                "The book's run, on a CPU; with its text and its settings yours is the same.",
                offset=1,
            ),
        ),
        (See(places.JOBS, "All jobs"), See(places.GENERATE, "Let what came out write")),
    ),
    Step(
        "better_loop",
        "A better loop",
        "D",
        Train(
            "pretrain",
            (
                Run(
                    "A small network, warmed up and clipped",
                    _small(warmup_steps=30, grad_clip=1.0, min_learning_rate=1e-5),
                ),
                Run("Appendix D's own run: fifteen epochs", {"train": {"preset": "book-appd"}}),
            ),
            (STORY,),
            "Begin the training",
            Trace(
                "appD.train",
                "Appendix D's run. It clips behind the warm-up, this service from the first step on: they part early.",
                offset=1,
            ),
        ),
        (See(places.JOBS, "The same with every setting in your hand"),),
    ),
)
