"""Chapter 5: how wrong a model is, how it learns, how it is let write, and weights from elsewhere."""

from __future__ import annotations

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask, Only
from app.api.pages.lessons.book import BOOK, Check
from app.api.pages.lessons.chapter_5_training import STEPS
from app.api.pages.lessons.common import EXACT, FOUR_DECIMALS, MODEL, NOT_THE_VERDICT, STORY
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import Chapter, See, Step

_WORDS = BOOK["ch05.temp.argmax"]["inputs"]
_LOSS = "ch05.target.logprobas"
_DRAWS = (
    Field("words", "Words", _WORDS["vocab"], "lines"),
    Field("logits", "Their scores", _WORDS["logits"], "numbers"),
)

CHAPTER = Chapter(
    5,
    "Learning to guess",
    "An untrained network is wrong in a way that can be measured. Training makes that number smaller, step by step. "
    "Afterwards you decide how daring it is to be when it writes.",
    (
        Step(
            "loss",
            "How wrong it is",
            "5.1",
            Ask(
                "/lessons/untrained",
                "Let it guess each token",
                {"context_length": 256},
                (
                    Field("texts", "Texts", ["every effort moves you", "I really like chocolate"], "lines"),
                    Field("seed", "Seed", 123, "integer"),
                ),
                (
                    Check(
                        "Chance of each right token",
                        "texts.*.guesses.*.probability",
                        "ch05.target.probas",
                        style="exponent",
                        digits=3,
                    ),
                    Check("What it would have said", "texts.*.guesses.*.likeliest_id", "ch05.pred.ids", "ids"),
                    Check("Loss", "loss", _LOSS, "cross_entropy", style="decimals", absolute=0.001),
                    Check("Perplexity", "perplexity", _LOSS, "perplexity", style="decimals", digits=1, relative=0.001),
                ),
                "Weights are drawn by torch's generator on the CPU. Chances may be off by a thousandth of their size.",
                "guesses",
            ),
            (See(places.ATTENTION, "The loss of each token, by a trained model"),),
        ),
        Step(
            "parts",
            "A part that it never sees",
            "5.1.3",
            Ask(
                "/datasets/{dataset}/batches?tokenizer=gpt2&context_length={context_length}"
                "&batch_size={batch_size}&validation={validation}&seed=123",
                "Cut the text",
                fields=(
                    STORY,
                    Field("context_length", "Tokens a window", 256, "integer"),
                    Field("batch_size", "Windows a batch", 2, "integer"),
                    Field("validation", "Share kept back", 0.1, "number"),
                ),
                checks=(
                    Check("Tokens to learn from", "tokens", "ch05.split", "train_tokens_total", style="count"),
                    Check("Windows", "windows", "ch05.split", "train_windows"),
                    Check("Batches an epoch", "batches", "ch05.split", "train_batches"),
                ),
                reason=EXACT,
                view="batch_text",
                method="GET",
                only=Only("tokens", BOOK["ch05.split"]["expected"]["train_tokens_total"], NOT_THE_VERDICT),
            ),
        ),
        STEPS[0],
        Step(
            "temperature",
            "Cautious or daring",
            "5.3.1",
            Ask(
                "/lessons/sampling",
                "Draw a thousand times",
                {},
                (
                    *_DRAWS,
                    Field("temperatures", "Temperatures", [1, 0.1, 5], "numbers"),
                    Field("seed", "Seed", 123, "integer"),
                ),
                tuple(
                    check
                    for place, warmth in enumerate(("1", "0.1", "5"))
                    for check in (
                        Check(
                            f"Chances at temperature {warmth}",
                            f"distributions.{place}.probabilities",
                            "ch05.temp.probas",
                            warmth,
                            style="decimals",
                        ),
                        Check(f"Drawn at {warmth}", f"distributions.{place}.counts", "ch05.temp.counts", warmth),
                    )
                ),
                f"Chances are arithmetic. {FOUR_DECIMALS} The draws are torch's, one by one, and must be the same.",
                "draws",
            ),
            (See(places.GENERATE, "Temperature on a real text"),),
        ),
        Step(
            "top_k",
            "Only the best few",
            "5.3.2",
            Ask(
                "/lessons/sampling",
                "Cut off the rest",
                {"temperatures": [1]},
                (*_DRAWS, Field("top_k", "Words that stay", BOOK["ch05.topk"]["inputs"]["k"], "integer")),
                (Check("Chances", "distributions.0.probabilities", "ch05.topk", "probas", style="decimals"),),
                f"Arithmetic. {FOUR_DECIMALS}",
                "draws",
            ),
        ),
        Step(
            "writing",
            "Both at once, on a real text",
            "5.3.3",
            Ask(
                "/generate",
                "Write",
                {"max_new_tokens": 25},
                (
                    MODEL,
                    Field("prompt", "Text to go on from", BOOK["ch05.generate"]["inputs"]["prompt"], "text"),
                    Field("temperature", "Temperature", 1.4, "number"),
                    Field("top_k", "Best tokens that stay", 25, "integer"),
                    Field("seed", "Seed", 123, "integer"),
                ),
                view="written",
            ),
            (See(places.GENERATE, "Click a token to go another way"),),
        ),
        Step(
            "weights",
            "Weights from elsewhere",
            "5.5",
            Ask("/models/{model}", "What is it made of?", fields=(MODEL,), view="model", method="GET"),
            (See(places.MODELS, "Import a model"),),
        ),
        STEPS[1],
    ),
)
