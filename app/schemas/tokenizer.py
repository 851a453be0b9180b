"""The wire of tokenizers and of what they do: /tokenize, /encode, /decode, /tokenizers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator
from pydantic_core import PydanticCustomError

from app.schemas.base import In, Out, StoredText, Text, an_example

MAX_BATCH = 4096  # texts or id lists in one call
MAX_COMPARED = 8  # tokenizers side by side
MAX_VOCABULARY = 1 << 17
MAX_MERGED_CHARACTERS = 64


def _check_text(value: object, where: str = "") -> str:
    if not isinstance(value, str):
        raise PydanticCustomError("text_type", "{where}must be a text", {"where": where})
    try:
        value.encode()
    except UnicodeEncodeError as error:
        at = {"where": where, "at": error.start}
        raise PydanticCustomError("text_utf8", "{where}a lone surrogate at character {at} is no text", at) from None
    return value


def _one_text_or_many(value: object) -> str | list[str]:
    if not isinstance(value, list):
        return _check_text(value)
    _check_batch(value)
    return [_check_text(text, f"item {index}: ") for index, text in enumerate(value)]


def _one_id_list(value: object) -> list[int]:
    return _check_ids(value)


def _one_id_list_or_many(value: object) -> list[int] | list[list[int]]:
    if not isinstance(value, list):
        raise PydanticCustomError("ids_type", "must be a list of token ids, or a list of such lists")
    if not (value and isinstance(value[0], list)):
        return _check_ids(value)
    _check_batch(value)
    return [_check_ids(ids, f"item {index}: ") for index, ids in enumerate(value)]


def _check_ids(value: object, where: str = "") -> list[int]:
    # One look at the types of all: a list may hold a million ids, and true is an int to isinstance.
    if not isinstance(value, list) or not set(map(type, value)) <= {int}:
        raise PydanticCustomError("ids_type", "{where}token ids are whole numbers in a list", {"where": where})
    return value


def _check_batch(value: list[Any]) -> None:
    if len(value) > MAX_BATCH:
        told = {"most": MAX_BATCH, "given": len(value)}
        raise PydanticCustomError("batch_size", "a batch has at most {most} items, not {given}", told)


def _one_name_or_many(value: object) -> str | list[str]:
    if isinstance(value, str):
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise PydanticCustomError("name_type", "must be the name of a tokenizer, or a list of names")
    if not 1 <= len(value) <= MAX_COMPARED:
        told = {"most": MAX_COMPARED, "given": len(value)}
        raise PydanticCustomError("too_many_names", "1 to {most} tokenizers can be compared, not {given}", told)
    return value


# Checked by hand, where pydantic's unions would name their branches in `param` and list each of a million errors.
TextOrTexts = Annotated[str | list[str], PlainValidator(_one_text_or_many, json_schema_input_type=str | list[str])]
IdsOrIdLists = Annotated[
    list[int] | list[list[int]],
    PlainValidator(_one_id_list_or_many, json_schema_input_type=list[int] | list[list[int]]),
]
IdList = Annotated[list[int], PlainValidator(_one_id_list, json_schema_input_type=list[int])]
NameOrNames = Annotated[str | list[str], PlainValidator(_one_name_or_many, json_schema_input_type=str | list[str])]

Specials = Annotated[
    Literal["text", "parse"],
    Field(description="Special tokens in the text: plain text like all else, or parsed as what they are."),
]


class TokenizeIn(In):
    model_config = an_example(text="Hello, do you like tea?", tokenizer=["gpt2", "smollm2"])

    text: Text
    tokenizer: NameOrNames | None = Field(None, description="One name, or up to 8 to compare; omitted: the default.")
    specials: Specials = "text"


class TokenOut(Out):
    id: int
    text: str = Field(description="U+FFFD only where the bytes are no UTF-8 by themselves.")
    bytes: list[int]
    start: int = Field(description="Code points of the text before the token's first character.")
    end: int
    special: bool


class TokenizeOut(Out):
    tokenizer: str
    count: int
    tokens: list[TokenOut]


class EncodeIn(In):
    model_config = an_example(text="Hello, do you like tea?", tokenizer="gpt2")

    text: TextOrTexts
    tokenizer: str | None = None
    specials: Specials = "text"


class EncodeOut(Out):
    tokenizer: str
    count: int = Field(description="Ids in all.")
    ids: list[int] | list[list[int]]


class DecodeIn(In):
    model_config = an_example(ids=[15496, 11, 466, 345, 588, 8887, 30], tokenizer="gpt2")

    ids: IdsOrIdLists
    tokenizer: str | None = None

    @property
    def is_batch(self) -> bool:
        return bool(self.ids) and isinstance(self.ids[0], list)

    @property
    def lists(self) -> list[list[int]]:
        """The lists of the batch, or the one list as the only one."""
        return cast(list[list[int]], self.ids if self.is_batch else [self.ids])


class DecodeOut(Out):
    text: str | list[str]


class TokenizerCreate(In):
    """`version` belongs to `word`, `vocab_size` and `special_tokens` to `bpe`."""

    model_config = an_example(name="tides", kind="bpe", dataset="the-tide-clock", vocab_size=400)

    name: StoredText
    kind: Literal["word", "bpe"]
    dataset: StoredText
    version: int | None = Field(None, ge=1, le=2, description="1 raises on an unknown word, 2 writes `<|unk|>` for it.")
    vocab_size: int | None = Field(
        None, ge=1, le=MAX_VOCABULARY, description="Ids in all: 256 bytes, the merges, the special tokens."
    )
    special_tokens: list[StoredText] | None = Field(None, description="Omitted: `<|endoftext|>` alone.")

    @property
    def special_names(self) -> list[str]:
        return ["<|endoftext|>"] if self.special_tokens is None else self.special_tokens


class TokenizerOut(Out):
    object: Literal["tokenizer"] = "tokenizer"
    name: str
    kind: Literal["word", "bpe"]
    version: int | None
    vocab_size: int | None
    special_tokens: list[str] | None = Field(description="null: of a model's tokenizer, which tells once it is read.")
    source: Literal["tiktoken", "model", "dataset"]
    dataset: str | None = Field(description="The id of what it was made from; null: of no dataset, or of one deleted.")
    dataset_name: str | None
    trained_bytes: int | None = Field(description="Bytes of the dataset that were read to make it.")
    available: bool
    hint: str | None = Field(description="How to get the data that is not on this machine.")
    created_at: int | None


class TokenizerDeletedOut(Out):
    object: Literal["tokenizer"] = "tokenizer"
    name: str
    deleted: Literal[True] = True


class VocabularyEntry(Out):
    id: int
    text: str
    bytes: Annotated[list[int], BeforeValidator(list)]
    special: bool
    merged_from: tuple[int, int] | None = Field(description="The two ids that byte-pair merging makes it of.")
    rank: int | None = Field(description="Merges that were learnt before the one that makes it; null: no merge does.")


class MergesQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Text = Field(min_length=1, max_length=MAX_MERGED_CHARACTERS)


class PieceOut(Out):
    text: str = Field(description="U+FFFD only where the bytes are no UTF-8 by themselves.")
    bytes: list[int]


class MergeStepOut(Out):
    left: PieceOut
    right: PieceOut
    at: int = Field(description="Place of `left` among the pieces before this step.")
    rank: int = Field(description="Merges that were learnt before this one.")
    id: int = Field(description="The id of what the two become.")
    pieces: list[PieceOut] = Field(description="All pieces after this step.")


class MergedTokenOut(PieceOut):
    id: int


class MergedWordOut(Out):
    text: str
    start: int
    end: int
    bytes: list[PieceOut] = Field(description="The pieces before the first merge: single bytes.")
    steps: list[MergeStepOut]
    tokens: list[MergedTokenOut]
    whole: bool = Field(description="The word stands in the vocabulary and is taken whole; its merges end before.")


class MergesOut(Out):
    tokenizer: str
    count: int = Field(description="Tokens in all.")
    words: list[MergedWordOut] = Field(description="What the text is split into before anything merges.")


class ReportIn(In):
    """A text, or a dataset of which up to 256 KiB are looked at, spread over it."""

    model_config = an_example(text="The sea was calm.", tokenizers=["gpt2", "smollm2"])

    text: Text | None = Field(None, min_length=1)
    dataset: StoredText | None = None
    tokenizers: list[str] = Field(min_length=1, max_length=MAX_COMPARED)


class FailureOut(Out):
    line: int
    text: str
    decoded: str | None
    unknown_word: str | None


class TokenizerReportOut(Out):
    tokenizer: str
    kind: Literal["word", "bpe"]
    vocab_size: int
    tokens: int | None = Field(description="null: it cannot encode the text, for it does not know a word of it.")
    characters_per_token: float | None
    unknown: int = Field(description="Words that a word tokenizer does not know.")
    unknown_rate: float = Field(description="Their share of all words; 0 for byte-pair tokenizers.")
    unknown_examples: list[str]
    lines: int = Field(description="Lines of the text that are not blank; each is encoded and decoded by itself.")
    round_trip_failures: int = Field(description="Those that do not come back as they were.")
    round_trip_examples: list[FailureOut]


class ReportOut(Out):
    dataset: str | None
    characters: int
    bytes: int
    data: list[TokenizerReportOut]


class _Query(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(100, ge=1, le=1000)


class TokenizerQuery(_Query):
    after: str | None = Field(None, description="The name that the page before ended with.")


class VocabularyQuery(_Query):
    after: int | None = Field(None, ge=0, description="The id that the page before ended with.")
