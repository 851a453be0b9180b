"""How well a tokenizer does on a text: length of tokens, what it does not know, what comes back changed."""

from __future__ import annotations

from dataclasses import dataclass

from app.llm.errors import UnknownToken
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.word import WordTokenizer, words

EXAMPLES = 5
EXAMPLE_CHARACTERS = 200


@dataclass(frozen=True)
class Failure:
    """A line that did not come back as it was: what came instead, or the word at which the tokenizer gave up."""

    line: int  # from 1
    text: str
    decoded: str | None
    unknown_word: str | None


@dataclass(frozen=True)
class Measured:
    """A tokenizer on one text. Texts of examples are cut after 200 characters."""

    tokens: int | None  # None: it cannot encode the text
    words: int | None  # of a word tokenizer: what the unknown ones are counted among
    unknown: int
    unknown_examples: tuple[str, ...]  # different ones, in the order of the text
    lines: int  # that are not blank
    failed_lines: int
    failures: tuple[Failure, ...]  # the first ones


def measure(tokenizer: Tokenizer, text: str) -> Measured:
    """Encode the text, then each line of it by itself and back.

    Raises:
        UntokenizableText: the splitting pattern gives up on the text.
    """
    known, unknown = _unknown_words(tokenizer, text) if isinstance(tokenizer, WordTokenizer) else (None, [])
    try:
        tokens = len(tokenizer.encode(text))
    except UnknownToken:
        tokens = None
    lines = failed = 0
    failures: list[Failure] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        lines += 1
        failure = _failure(tokenizer, number, line)
        if failure is not None:
            failed += 1
            failures += [failure] if len(failures) < EXAMPLES else []
    return Measured(
        tokens=tokens,
        words=known,
        unknown=len(unknown),
        unknown_examples=tuple(word[:EXAMPLE_CHARACTERS] for word in list(dict.fromkeys(unknown))[:EXAMPLES]),
        lines=lines,
        failed_lines=failed,
        failures=tuple(failures),
    )


def _unknown_words(tokenizer: WordTokenizer, text: str) -> tuple[int, list[str]]:
    """How many words the text has, and those that the vocabulary lacks or that are special tokens' names."""
    vocabulary = frozenset(tokenizer.vocabulary) - tokenizer.special_tokens.keys()
    found = list(words(text))
    return len(found), [word for word in found if word not in vocabulary]


def _failure(tokenizer: Tokenizer, number: int, line: str) -> Failure | None:
    try:
        decoded = tokenizer.decode(tokenizer.encode(line))
    except UnknownToken as error:
        return Failure(number, line[:EXAMPLE_CHARACTERS], None, error.word[:EXAMPLE_CHARACTERS])
    if decoded == line:
        return None
    return Failure(number, line[:EXAMPLE_CHARACTERS], decoded[:EXAMPLE_CHARACTERS], None)
