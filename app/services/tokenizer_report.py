"""Tokenizers looked at: several measured on one text, and one's merges of a word. Bounded in what a call may ask."""

from __future__ import annotations

from collections.abc import Sequence

from app.errors import DataMissing, InvalidRequest, TooLarge
from app.llm.errors import UntokenizableText
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.bpe import BytePairTokenizer
from app.llm.tokenizer.measure import Measured, measure
from app.llm.tokenizer.merging import MergedWord, merged_words
from app.schemas.tokenizer import (
    FailureOut,
    MergedTokenOut,
    MergedWordOut,
    MergesOut,
    MergeStepOut,
    PieceOut,
    ReportIn,
    ReportOut,
    TokenizerReportOut,
)
from app.services import datasets, text_sample
from app.services.runtime import Runtime

MAX_BYTES = 256 * 1024  # of text in a report: each line is encoded and decoded by each tokenizer
_BLOCK_BYTES = 16 * 1024


def report(runtime: Runtime, body: ReportIn) -> ReportOut:
    """How each tokenizer does on the text, in the order they were named. Takes seconds for a text of the largest size.

    Raises:
        InvalidRequest: not one of text and dataset, a tokenizer named twice, or a tokenizer that cannot split the text.
        TooLarge: the text is longer than a report's.
        TokenizerNotFound, DatasetNotFound, DataMissing: as they say; `param` says which.
    """
    if (body.text is None) == (body.dataset is None):
        raise InvalidRequest("text: give either a text or a dataset", param="text")
    for index, name in enumerate(body.tokenizers):
        if name in body.tokenizers[:index]:
            raise InvalidRequest(f"tokenizers.{index}: {name[:200]!r} stands there twice", param=f"tokenizers.{index}")
    with runtime.database.read() as session:  # given back before the long work
        chosen = [
            runtime.tokenizers.get(session, name, f"tokenizers.{index}") for index, name in enumerate(body.tokenizers)
        ]
        row = None if body.dataset is None else datasets.read(session, body.dataset, "dataset")
    max_bytes = min(MAX_BYTES, runtime.settings.max_text_bytes)
    if row is None:
        text = body.text or ""
        size_bytes = len(text.encode())
        if size_bytes > max_bytes:
            raise TooLarge(f"text: {size_bytes:,} bytes are more than the {max_bytes:,} of a report", param="text")
    else:
        datasets.check_text(row, "dataset")
        path = runtime.storage.dataset(row.id)
        try:
            text = "".join(text_sample.texts(path, text_sample.parts(path, max_bytes, _BLOCK_BYTES)))
        except FileNotFoundError as error:
            raise DataMissing(f"dataset: the file of {row.label} is gone", param="dataset") from error
    rows = [
        _row(name, tokenizer, _measured(tokenizer, text, f"tokenizers.{index}"), len(text))
        for index, (name, tokenizer) in enumerate(zip(body.tokenizers, chosen, strict=True))
    ]
    return ReportOut(dataset=body.dataset, characters=len(text), bytes=len(text.encode()), data=rows)


def merges(name: str, tokenizer: Tokenizer, text: str) -> MergesOut:
    """From the bytes of a text to its tokens, one merge at a time.

    Raises:
        InvalidRequest: the tokenizer merges nothing.
    """
    if not isinstance(tokenizer, BytePairTokenizer):
        raise InvalidRequest(f"name: {name} is a word tokenizer and merges nothing", param="name")
    words = [_word(tokenizer, text, word) for word in merged_words(tokenizer, text)]
    return MergesOut(tokenizer=name, count=sum(len(word.tokens) for word in words), words=words)


def _measured(tokenizer: Tokenizer, text: str, param: str) -> Measured:
    try:
        return measure(tokenizer, text)
    except UntokenizableText as error:
        raise InvalidRequest(f"{param}: {error}", param=param) from error


def _row(name: str, tokenizer: Tokenizer, found: Measured, characters: int) -> TokenizerReportOut:
    return TokenizerReportOut(
        tokenizer=name,
        kind=tokenizer.kind,
        vocab_size=tokenizer.vocab_size,
        tokens=found.tokens,
        characters_per_token=characters / found.tokens if found.tokens else None,
        unknown=found.unknown,
        unknown_rate=found.unknown / found.words if found.words else 0.0,
        unknown_examples=list(found.unknown_examples),
        lines=found.lines,
        round_trip_failures=found.failed_lines,
        round_trip_examples=[FailureOut.model_validate(failure) for failure in found.failures],
    )


def _word(tokenizer: BytePairTokenizer, text: str, word: MergedWord) -> MergedWordOut:
    pieces: Sequence[bytes] = [word.bytes[at : at + 1] for at in range(len(word.bytes))]
    single, steps = _pieces(pieces), []
    for step in word.steps:
        left, right = _pieces(pieces[step.at : step.at + 2])
        pieces = step.pieces
        steps.append(
            MergeStepOut(left=left, right=right, at=step.at, rank=step.rank, id=step.id, pieces=_pieces(pieces))
        )
    made = [(token_id, tokenizer.token_bytes(token_id)) for token_id in word.ids]
    return MergedWordOut(
        text=text[word.start : word.end],
        start=word.start,
        end=word.end,
        bytes=single,
        steps=steps,
        tokens=[MergedTokenOut(id=token_id, text=_text(token), bytes=list(token)) for token_id, token in made],
        whole=word.is_whole,
    )


def _pieces(pieces: Sequence[bytes]) -> list[PieceOut]:
    return [PieceOut(text=_text(piece), bytes=list(piece)) for piece in pieces]


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", errors="replace")
