"""The bonus of chapter 7: which of two answers is liked better, and how that is learnt."""

from __future__ import annotations

from typing import Any

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.book import Check
from app.api.pages.lessons.common import MODEL
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import See, Step
from app.api.pages.lessons.train import Run, Trace, Train

_PAIRS = Field("dataset", "Pairs of answers", "", "dataset", of="preferences", prefers="preferences")
_SECTION = "7, bonus"


def _measured_at(steps: int, **settings: Any) -> dict[str, Any]:
    """Alpaca's form, measured at step 1 and after so many more each time."""
    train = {"template": "alpaca", "eval_every": steps, "eval_offset": 1}
    return {"train": train | settings, "seed": 123}


STEPS = (
    Step(
        "pairs",
        "Two answers to one task",
        _SECTION,
        Ask(
            "/jobs/preview?limit=2&tokens=300",
            "Show two rows",
            {"recipe": "dpo", "train": {"template": "alpaca"}},
            (_PAIRS, MODEL),
            view="learnt",
        ),
    ),
    Step(
        "preference_loss",
        "What a preference costs",
        _SECTION,
        Ask(
            "/lessons/cross-entropy",
            "Measure",
            {},
            (
                Field("logits", "Beta times what the better one gained, and the other", [[0, 0], [0.2, 0]], "rows"),
                Field("targets", "Which one is liked", [0, 0], "numbers", "0 is the first, 1 the second."),
            ),
            (Check("Loss before the first step", "losses.0", "dpo.loss.zero", "loss", style="decimals", digits=6),),
            "The network has not moved, so both gained nothing: the logarithm of 2, to six decimals.",
            "losses",
        ),
    ),
    Step(
        "preferring",
        "It learns what is liked",
        _SECTION,
        Train(
            "dpo",
            (
                Run(
                    "Fifty-one steps of the last block",
                    _measured_at(50, trainable="last_block", learning_rate=1e-4, max_steps=51),
                ),
                Run("The book's settings: all of it, one epoch", _measured_at(5)),
            ),
            (_PAIRS, MODEL),
            "Begin the training",
            Trace(
                "dpo.train",
                "The book's run, of the network that it taught to answer before. Nothing moved is a loss of 0.693.",
                "cuda_torch_2.3.1",
                offset=1,
            ),
        ),
        (See(places.JOBS, "Its margins and rewards, drawn, on the job's page"),),
    ),
)
