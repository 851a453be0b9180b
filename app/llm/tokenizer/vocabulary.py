"""A byte-pair vocabulary as plain lists: what GGUF files and `tokenizer.json` carry, and what an import keeps.

Knows no files; `gguf_bpe` makes a tokenizer of it, `hf_bpe` reads and writes Hugging Face's form.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from app.llm.errors import BadVocabulary
from app.llm.tokenizer import byte_alphabet, gguf_bpe
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.bpe import BytePairTokenizer

FORMAT = "byte-pair vocabulary"
NORMAL, CONTROL = 1, 3  # llama.cpp's token types


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, written in GPT-2's alphabet; their types (llama.cpp's); merges in order; the rule of splitting."""

    tokens: Sequence[str]
    token_types: Sequence[int]
    merges: Sequence[str]
    pre: str
    eos_id: int | None = None

    def tokenizer(self) -> BytePairTokenizer:
        """The tokenizer of these lists.

        Raises:
            BadVocabulary: they contradict each other, or the rule of splitting is not known.
        """
        return gguf_bpe.from_vocabulary(self.tokens, self.token_types, self.merges, self.pre, self.eos_id)

    def to_json(self) -> str:
        return json.dumps({"format": FORMAT} | asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """What `to_json` wrote.

        Raises:
            BadVocabulary: it is something else.
        """
        try:
            fields = json.loads(text)
            if fields.pop("format") != FORMAT:
                raise BadVocabulary(f"no {FORMAT}")
            return cls(**fields)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadVocabulary(f"no {FORMAT}: {error}") from error


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary | None:
    """The lists of a tokenizer; None for one that no such lists can hold.

    These are word tokenizers, and those with another rule of splitting, holes, or tokens that no merge makes.
    """
    if not isinstance(tokenizer, BytePairTokenizer):
        return None
    rules = {pattern: name for name, pattern in gguf_bpe.PATTERNS.items()}
    if tokenizer.pattern not in rules:
        return None
    specials = {token_id: name for name, token_id in tokenizer.special_tokens.items()}
    pieces = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
    ranks = {piece: token_id for token_id, piece in enumerate(pieces) if piece and token_id not in specials}
    if len(ranks) + len(specials) != len(pieces):
        return None
    tokens = [specials.get(token_id) or byte_alphabet.to_text(piece) for token_id, piece in enumerate(pieces)]
    try:
        merges = [f"{byte_alphabet.to_text(left)} {byte_alphabet.to_text(right)}" for left, right in _merges_of(ranks)]
    except BadVocabulary:
        return None
    types = [CONTROL if token_id in specials else NORMAL for token_id in range(len(pieces))]
    return Vocabulary(tokens, types, merges, rules[tokenizer.pattern], tokenizer.eos_id)


def _merges_of(ranks: Mapping[bytes, int]) -> Iterator[tuple[bytes, bytes]]:
    """For each token of several bytes, in order, the two that it was made of.

    Raises:
        BadVocabulary: a token cannot be made by merging earlier ones.
    """
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        parts = [token[i : i + 1] for i in range(len(token))]
        while len(parts) > 2:
            pairs = [ranks.get(parts[i] + parts[i + 1], rank) for i in range(len(parts) - 1)]
            best = min(range(len(pairs)), key=pairs.__getitem__)
            if pairs[best] >= rank:
                raise BadVocabulary(f"token {rank}, {token!r}, is made of no two earlier ones")
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        yield parts[0], parts[1]
