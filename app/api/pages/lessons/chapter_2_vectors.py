"""Chapter 2's second half: a text laid out in windows, and vectors for tokens and places."""

from __future__ import annotations

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask, Only
from app.api.pages.lessons.book import BOOK, Check
from app.api.pages.lessons.common import DRAWN, EXACT, MODEL, NOT_THE_VERDICT, STORY
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import See, Step

STEPS = (
    Step(
        "windows",
        "What comes next, at each place",
        "2.6",
        Ask(
            "/windows",
            "Lay it out",
            {"tokenizer": "gpt2", "shuffle": False, "limit": 1},
            (
                STORY,
                Field("max_length", "Tokens a window", 4, "integer"),
                Field("stride", "Window to window", 4, "integer"),
                Field("batch_size", "Windows a batch", 8, "integer"),
            ),
            (
                Check("Tokens of the text", "tokens", "ch02.bpe.verdict", "count", style="count"),
                Check("Windows", "windows", "ch02.loader.b8s4", "windows", style="count"),
                Check("Batches", "batches", "ch02.loader.b8s4", "batches_drop_last"),
                Check("First batch, inputs", "data.0.inputs", "ch02.loader.b8s4", "x"),
                Check("First batch, targets", "data.0.targets", "ch02.loader.b8s4", "y"),
            ),
            EXACT,
            "windows",
            only=Only("tokens", BOOK["ch02.bpe.verdict"]["expected"]["count"], NOT_THE_VERDICT),
        ),
    ),
    Step(
        "vectors",
        "A vector for each token",
        "2.7",
        Ask(
            "/embeddings",
            "Look the rows up",
            {},
            (
                Field("ids", "Ids", BOOK["ch02.emb.lookup"]["inputs"]["ids"], "numbers"),
                Field("vocab_size", "Rows of the table", 6, "integer"),
                Field("output_dim", "Numbers a row", 3, "integer"),
                Field("seed", "Seed", 123, "integer"),
            ),
            (Check("Rows", "vectors", "ch02.emb.lookup", style="decimals"),),
            DRAWN,
        ),
    ),
    Step(
        "positions",
        "And for each place",
        "2.8",
        Ask(
            "/embeddings",
            "Add place to token",
            {"positions": True, "seed": 123},
            (
                Field("ids", "Ids of a window", BOOK["ch02.loader.b8s4"]["expected"]["x"][0], "numbers"),
                Field("vocab_size", "Rows of the token table", 50257, "integer"),
                Field("output_dim", "Numbers a row", 256, "integer"),
                Field("context_length", "Rows of the position table", 4, "integer"),
            ),
            (Check("Shape of the position vectors", "positions.shape", "ch02.emb.shapes", "position"),),
            "Shapes follow from what was asked for.",
            "vectors",
        ),
    ),
    Step(
        "meaning",
        "Rows that have learnt",
        "2.7",
        Ask(
            "/embeddings",
            "Who lies near?",
            {"neighbours": 8},
            (MODEL, Field("text", "Token", " king", hint="With the blank before it, it is the word in a sentence.")),
            view="neighbours",
        ),
        (See(places.EMBEDDINGS, "Vectors on a map"),),
    ),
)
