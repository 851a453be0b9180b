"""Byte-level BPE learnt from a text (section 2.5): the `tokenizers` package learns, tiktoken encodes.

Ids as GPT-2 has them: the 256 bytes in its order, then one id for each merge in the order they were learnt, then the
special tokens. Knows no files: texts come in as strings, and a tokenizer goes out as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import regex
from tiktoken import Encoding
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from app.llm.errors import BadSpecialToken, BadVocabulary, TooFewPairs
from app.llm.tokenizer import byte_alphabet
from app.llm.tokenizer.bpe import GPT2_PATTERN, BytePairTokenizer

END_OF_TEXT = "<|endoftext|>"
BYTES = len(byte_alphabet.BYTES_IN_ORDER)
MAX_SPECIAL_TOKENS = 64
MAX_SPECIAL_CHARACTERS = 64
_LEAST_COUNT = 2  # a pair that occurs once is no habit of the text
_LONGEST_PIECE = 64  # characters; the time to learn grows with the square of a piece's length
_MAX_DISTINCT_BYTES = 2 * 1024 * 1024  # of different pieces: what time and memory of the learning grow with
_SPLIT = regex.compile(GPT2_PATTERN)

Merge = tuple[int, int]


class TrainedTokenizer(BytePairTokenizer):
    """A byte-pair tokenizer whose merges were learnt here. `merges[i]` are the two ids that id 256 + i is made of."""

    def __init__(self, merges: Sequence[Merge], special_tokens: Sequence[str]) -> None:
        """Take merges as they stand; `learn` finds them in a text.

        Raises:
            BadVocabulary: a merge of ids that are not there yet, or one that makes a token again.
            BadSpecialToken: as `check_special_tokens`.
        """
        check_special_tokens(special_tokens)
        self.merges = tuple(merges)
        specials = {name: BYTES + len(self.merges) + n for n, name in enumerate(special_tokens)}
        encoding = Encoding(
            "trained", pat_str=GPT2_PATTERN, mergeable_ranks=_ranks(self.merges), special_tokens=specials
        )
        super().__init__(encoding, eos_id=specials.get(END_OF_TEXT))

    def to_json(self) -> str:
        """All there is to the tokenizer, for `from_json`."""
        specials = sorted(self.special_tokens, key=lambda name: self.special_tokens[name])
        return json.dumps({"kind": self.kind, "special_tokens": specials, "merges": self.merges}, ensure_ascii=False)

    @classmethod
    def from_json(cls, written: str) -> TrainedTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            BadVocabulary: it is no such thing.
        """
        try:
            content = json.loads(written)
            kind, specials, merges = content["kind"], content["special_tokens"], content["merges"]
            pairs = [(int(left), int(right)) for left, right in merges]
        except (ValueError, KeyError, TypeError) as error:
            raise BadVocabulary(f"no byte-pair vocabulary: {error!r}") from error
        if kind != cls.kind or not isinstance(specials, list) or not all(isinstance(name, str) for name in specials):
            raise BadVocabulary(f"no byte-pair vocabulary: kind {kind!r}")
        return cls(pairs, specials)


@dataclass(frozen=True)
class Learnt:
    """What came out of a training, and how much text went in."""

    tokenizer: TrainedTokenizer
    bytes_read: int


def check_special_tokens(names: Sequence[str]) -> None:
    """See that special tokens can be told from each other and from learnt tokens.

    Raises:
        BadSpecialToken: too many, one that is empty, long, no text, there twice, the beginning of another, or such
            that the text itself could make it a token (the splitting rule does not cut it).
    """
    if len(names) > MAX_SPECIAL_TOKENS:
        raise BadSpecialToken(None, f"at most {MAX_SPECIAL_TOKENS}, not {len(names)}")
    for index, name in enumerate(names):
        if not 1 <= len(name) <= MAX_SPECIAL_CHARACTERS:
            raise BadSpecialToken(index, f"a special token has 1 to {MAX_SPECIAL_CHARACTERS} characters")
        if any(0xD800 <= ord(character) < 0xE000 for character in name):
            raise BadSpecialToken(index, "a lone surrogate is no text")
        if name in names[:index]:
            raise BadSpecialToken(index, f"{name!r} is there twice")
        longer = next((other for other in names if other != name and other.startswith(name)), None)
        if longer is not None:
            raise BadSpecialToken(index, f"{name!r} is the beginning of {longer!r}; a text with both is ambiguous")
        if len(_SPLIT.findall(name)) < 2:
            told = "is a word, a number or a run of signs that the text itself may make a token; write it as <|…|>"
            raise BadSpecialToken(index, f"{name!r} {told}")


def learn(texts: Iterable[str], vocab_size: int, special_tokens: Sequence[str] = (END_OF_TEXT,)) -> Learnt:
    """Learn merges from parts of a text, none of which should end inside a word, until there are `vocab_size` ids.

    The same texts give the same tokenizer. Other threads run meanwhile. Reading ends early where the pieces that
    the text is split into are so many different ones that time and memory would run away (a text without spaces).

    Raises:
        BadVocabulary: `vocab_size` has no room for the bytes and the special tokens, or there is no text.
        BadSpecialToken: as `check_special_tokens`.
        TooFewPairs: the text has too few pairs that occur twice.
    """
    check_special_tokens(special_tokens)
    least = BYTES + len(special_tokens)
    if vocab_size < least:
        raise BadVocabulary(f"{vocab_size} ids have no room for {BYTES} bytes and {len(special_tokens)} special tokens")
    feed = _Feed(texts)
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(special_tokens),
        min_frequency=_LEAST_COUNT,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    learner.train_from_iterator(iter(feed), trainer)
    if feed.is_blank:
        raise BadVocabulary("there is only white space in the text")
    model: dict[str, Any] = json.loads(learner.to_str())["model"]
    merges = _merges_of(model["vocab"], model["merges"])
    found = least + len(merges)
    if found < vocab_size:
        raise TooFewPairs(found, vocab_size)
    return Learnt(TrainedTokenizer(merges, special_tokens), feed.bytes_read)


class _Feed:
    """The texts on their way to the learner: counted, their over-long pieces cut, ended where they get too many."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = texts
        self.bytes_read = 0
        self.is_blank = True

    def __iter__(self) -> Iterator[str | list[str]]:
        distinct: set[str] = set()
        distinct_bytes = 0
        for text in self._texts:
            self.bytes_read += len(text.encode())
            self.is_blank = self.is_blank and not text.strip()
            pieces = [
                piece[at : at + _LONGEST_PIECE]
                for piece in _SPLIT.findall(text, concurrent=True)
                for at in range(0, len(piece), _LONGEST_PIECE)
            ]
            new = set(pieces) - distinct
            distinct |= new
            distinct_bytes += sum(len(piece.encode()) for piece in new)
            is_long = any(len(piece) == _LONGEST_PIECE for piece in new)
            yield pieces if is_long else text
            if distinct_bytes >= _MAX_DISTINCT_BYTES:
                return


def _merges_of(vocabulary: Mapping[str, int], merges: Sequence[Sequence[str]]) -> list[Merge]:
    """The learner's merges as ids; its own ids are those of `_ranks` already, which is checked."""
    pairs = [(vocabulary[left], vocabulary[right]) for left, right in merges]
    ranks = _ranks(pairs)
    if {byte_alphabet.to_bytes(token): token_id for token, token_id in vocabulary.items()} != ranks:
        raise BadVocabulary("the learnt ids do not follow the order of the merges")
    return pairs


def _ranks(merges: Sequence[Merge]) -> dict[bytes, int]:
    """Each token's bytes → its id."""
    tokens = list(byte_alphabet.BYTES_IN_ORDER)
    for left, right in merges:
        if not (0 <= left < len(tokens) and 0 <= right < len(tokens)):
            raise BadVocabulary(f"the merge of {left} and {right} comes before what it is made of")
        tokens.append(tokens[left] + tokens[right])
    ranks = {token: token_id for token_id, token in enumerate(tokens)}
    if len(ranks) != len(tokens):
        raise BadVocabulary("two merges make the same token")
    return ranks
