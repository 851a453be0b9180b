"""The book's steps with texts and ids, asked for one by one: chapters 1, 2 and 7. Knows no HTTP."""

from __future__ import annotations

from app.errors import InvalidRequest, TooLarge
from app.llm.data.instructions import PROMPT_STYLES, Instruction, PromptedIds, join_instructions
from app.llm.data.sources import planned
from app.llm.lessons import splitting
from app.llm.tokenizer.word import UNKNOWN, WordTokenizer, words
from app.schemas.lessons import (
    CollateIn,
    CollateOut,
    EntryOut,
    MixtureIn,
    MixtureOut,
    PromptIn,
    PromptOut,
    SourceUseOut,
    SplitIn,
    SplitOut,
    VocabularyIn,
    VocabularyOut,
)
from app.services import datasets, tokens
from app.services.runtime import Runtime

MAX_VOCABULARY_CHARACTERS = 4 * 1024 * 1024
"""Of a text whose words are numbered while the caller waits."""
_PATTERNS = {
    "white_space": splitting.WHITE_SPACE,
    "commas_and_stops": splitting.COMMAS_AND_STOPS,
    "all_punctuation": splitting.ALL_PUNCTUATION,
}


def mixture(body: MixtureIn) -> MixtureOut:
    """What a run takes of each source (section 1.5)."""
    sources = body.sources
    taken = planned([one.tokens for one in sources], [one.share for one in sources], body.read)
    told = [
        SourceUseOut(name=one.name, tokens=one.tokens, share=use.share, tokens_read=use.tokens_read, epochs=use.epochs)
        for one, use in zip(sources, taken, strict=True)
    ]
    return MixtureOut(sources=told, tokens=sum(one.tokens for one in sources), shares=sum(one.share for one in sources))


def split(body: SplitIn) -> SplitOut:
    """Words and punctuation of a text (section 2.2)."""
    pieces = splitting.split(body.text, _PATTERNS[body.pattern])
    return SplitOut(pieces=pieces, words=splitting.without_blanks(pieces))


def vocabulary(runtime: Runtime, body: VocabularyIn) -> VocabularyOut:
    """The words of a dataset, numbered, and a sentence in their numbers (sections 2.3 and 2.4). Nothing is kept.

    Raises:
        DatasetNotFound, DataMissing: as `datasets.read` and `datasets.characters`.
        InvalidRequest: the dataset is rows.
        UnknownWord: version 1 met a word that is not in the text.
        TooLarge: the text is longer than `MAX_VOCABULARY_CHARACTERS`.
    """
    with runtime.database.read() as session:
        row = datasets.read(session, body.dataset, param="dataset")
        if row.rows is not None:
            raise InvalidRequest(f"dataset: {row.label} is rows; name a text", param="dataset")
        if row.characters > MAX_VOCABULARY_CHARACTERS:
            told = f"{row.characters:,} characters are more than the {MAX_VOCABULARY_CHARACTERS:,} that are read here"
            raise TooLarge(f"dataset: {told}", param="dataset")
        text, sha256 = datasets.characters(runtime.storage, row, 0, row.characters), row.sha256
    tokenizer = WordTokenizer.build(text, body.version)
    ids = tokens.encode(tokenizer, body.text, parse_special=True)
    known = tokenizer.vocabulary
    unknown = tokenizer.special_tokens.get(UNKNOWN)
    return VocabularyOut(
        sha256=sha256,
        words=sum(1 for _ in words(text)),
        vocab_size=len(known),
        last=[EntryOut(id=number, word=known[number]) for number in range(max(0, len(known) - 5), len(known))],
        ids=ids,
        unknown=ids.count(unknown) if unknown is not None else 0,
        decoded=tokenizer.decode(ids),
    )


def prompt(runtime: Runtime, body: PromptIn) -> PromptOut:
    """A task as a model reads it, and how many tokens of GPT-2's that is (section 7.2).

    Raises:
        DataMissing: GPT-2's vocabulary is not on this machine.
    """
    style, entry = PROMPT_STYLES[body.template], Instruction(body.instruction, body.input, body.output)
    asked, whole = style.prompt(entry), style.answered(entry, entry.output)
    with runtime.database.read() as session:
        tokenizer = runtime.tokenizers.get(session, "gpt2")
    return PromptOut(
        prompt=asked, text=whole, prompt_tokens=len(tokenizer.encode(asked)), tokens=len(tokenizer.encode(whole))
    )


def collate(body: CollateIn) -> CollateOut:
    """Rows as one batch: filled up, targets one place on, what fills up counted once and then not at all."""
    rows = [PromptedIds(ids, 0) for ids in body.rows]
    inputs, targets = join_instructions(rows, body.pad_id, body.max_length)
    return CollateOut(inputs=inputs.tolist(), targets=targets.tolist())
