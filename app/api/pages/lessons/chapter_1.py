"""Chapter 1: what a language model is, and the stages of its life."""

from __future__ import annotations

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.book import BOOK, Check
from app.api.pages.lessons.common import MODEL
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import Chapter, See, Step

_GPT3 = BOOK["ch01.gpt3.datasets"]["expected"]
_SOURCES = [
    {"name": name, "tokens": source["tokens_billion"], "share": source["share_pct"]}
    for name, source in _GPT3.items()
    if isinstance(source, dict)
]

CHAPTER = Chapter(
    1,
    "What a language model is",
    "A language model guesses the next piece of a text, and nothing else. Here you see one guess, a text made of such "
    "guesses, and the way from an empty network to one that answers.",
    (
        Step(
            "guess",
            "One guess",
            "1.1",
            Ask(
                "/inspect",
                "What comes next?",
                {"want": ["next"], "top": 10},
                (MODEL, Field("text", "Text", "Every morning the baker opens the", "text")),
                view="next",
            ),
            (See(places.GENERATE, "Let it write on"),),
        ),
        Step(
            "stages",
            "The stages of a life",
            "1.3",
            Ask("/models", "What is on this machine?", view="models", method="GET"),
            (
                See("/ui/learn/2", "Text: tokens, windows, vectors"),
                See("/ui/learn/3", "Attention"),
                See("/ui/learn/4", "The network"),
                See("/ui/learn/5", "Pretraining"),
                See(places.MODELS, "All models, with what each came from"),
            ),
        ),
        Step(
            "sides",
            "Encoders and decoders",
            "1.4",
            Ask(
                "/lessons/attention",
                "Who looks at whom?",
                {"vectors": BOOK["ch03.inputs"]["expected"]},
                (
                    Field(
                        "kind",
                        "Kind",
                        "causal",
                        "choice",
                        choices=(("causal", "Decoder: none looks ahead"), ("layers", "Encoder: all look at all")),
                    ),
                    Field("seed", "Seed", 123, "integer"),
                ),
                view="weights",
            ),
            (See("/ui/learn/3", "How attention works, step by step"),),
        ),
        Step(
            "much_text",
            "Much text, unevenly read",
            "1.5",
            Ask(
                "/lessons/mixture",
                "How often is each read?",
                {"sources": _SOURCES},
                (Field("read", "Tokens read, in billions", _GPT3["trained_tokens_billion"], "integer"),),
                (
                    Check("Tokens of all sources, in billions", "tokens", "ch01.gpt3.datasets", "total_tokens_billion"),
                    Check("Shares, added up", "shares", "ch01.gpt3.datasets", "shares_sum_pct"),
                ),
                "GPT-3's table as it was published. Its rounded shares add up to more than a hundred.",
                "mixture",
            ),
            (See(places.JOBS, "Train on several texts, each with its weight"),),
        ),
        Step(
            "one_by_one",
            "Guess after guess",
            "1.6",
            Ask(
                "/generate",
                "Write",
                {"temperature": 0},
                (
                    MODEL,
                    Field("prompt", "Text to go on from", "Every morning the baker opens the", "text"),
                    Field("max_new_tokens", "Guesses", 16, "integer"),
                ),
                view="written",
            ),
            (See(places.GENERATE, "Writing by chance, and branching off"),),
        ),
    ),
)
