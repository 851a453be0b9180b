"""Chapter 2: from text to what a network takes: words, tokens, ids, windows, vectors."""

from __future__ import annotations

from app.api.pages.lessons import places
from app.api.pages.lessons.ask import Ask, Only
from app.api.pages.lessons.book import BOOK, Check
from app.api.pages.lessons.chapter_2_vectors import STEPS
from app.api.pages.lessons.common import EXACT, NOT_THE_VERDICT, STORY
from app.api.pages.lessons.field import Field
from app.api.pages.lessons.step import Chapter, See, Step

_SHA256 = BOOK["ch02.verdict.file"]["expected"]["sha256"]

CHAPTER = Chapter(
    2,
    "Text becomes numbers",
    "A network adds and multiplies; it cannot read. Here a text is cut into tokens, tokens become numbers, numbers "
    "become vectors, and the text is laid out so that each place asks what comes next.",
    (
        Step(
            "words",
            "Words and marks",
            "2.2",
            Ask(
                "/lessons/split",
                "Cut it",
                {},
                (
                    Field("text", "Text", BOOK["ch02.regex.full"]["inputs"]["text"], "text"),
                    Field(
                        "pattern",
                        "Cut at",
                        "all_punctuation",
                        "choice",
                        choices=(
                            ("white_space", "white space"),
                            ("commas_and_stops", "white space, commas and full stops"),
                            ("all_punctuation", "white space and all marks"),
                        ),
                    ),
                ),
                (Check("Words", "words", "ch02.regex.full"),),
                EXACT,
                "pieces",
            ),
        ),
        Step(
            "vocabulary",
            "A number for each word",
            "2.4",
            Ask(
                "/lessons/vocabulary",
                "Number the words",
                {},
                (
                    STORY,
                    Field(
                        "text", "Sentence to be written in numbers", BOOK["ch02.v2.encode"]["inputs"]["text"], "text"
                    ),
                    Field(
                        "version",
                        "A word that is not in the text",
                        2,
                        "choice",
                        choices=((2, "becomes <|unk|> (version 2)"), (1, "cannot be written (version 1)")),
                    ),
                ),
                (
                    Check("Words in the text", "words", "ch02.tokens.count", style="count"),
                    Check("Entries of the vocabulary", "vocab_size", "ch02.vocab.v2", "size", style="count"),
                    Check("Number of its last entry, <|unk|>", "last.4.id", "ch02.vocab.v2", "last5/<|unk|>"),
                    Check("The sentence in numbers", "ids", "ch02.v2.encode"),
                    Check("And back", "decoded", "ch02.v2.decode"),
                ),
                EXACT,
                "vocabulary",
                only=Only("sha256", _SHA256, NOT_THE_VERDICT),
            ),
            (See(places.TOKENIZERS, "Keep a vocabulary as a tokenizer"),),
        ),
        Step(
            "bpe",
            "Tokens: parts of words",
            "2.5",
            Ask(
                "/tokenize",
                "Cut it",
                {"specials": "parse"},
                (
                    Field("text", "Text", BOOK["ch02.bpe.sample.concat"]["inputs"]["text"], "text"),
                    Field(
                        "tokenizer", "Tokenizer", "gpt2", hint="Others: r50k_base, cl100k_base, o200k_base, smollm2."
                    ),
                ),
                (Check("Ids", "tokens.*.id", "ch02.bpe.sample.concat"),),
                EXACT,
                "tokens",
            ),
            (See(places.TOKENS, "Tokens while you type"), See(places.TOKENIZERS, "Tokenizers compared")),
        ),
        Step(
            "unknown",
            "Words it never saw",
            "2.5",
            Ask(
                "/tokenize",
                "Cut it",
                {"tokenizer": "gpt2"},
                (Field("text", "A word that is none", BOOK["ch02.bpe.case00"]["inputs"]["text"]),),
                (
                    Check("Ids", "tokens.*.id", "ch02.bpe.case00"),
                    Check("Pieces", "tokens.*.text", "ch02.bpe.pieces"),
                ),
                EXACT,
                "tokens",
            ),
        ),
        Step(
            "merges",
            "How a token grows together",
            "2.5",
            Ask(
                "/tokenizers/gpt2/merges?text={text}",
                "Merge",
                fields=(Field("text", "Word", " lighthouses", hint="Up to 64 characters; a blank before it counts."),),
                view="merges",
                method="GET",
            ),
            (See(places.TOKENIZERS, "Learn merges of your own from a text"),),
        ),
        *STEPS,
    ),
)
