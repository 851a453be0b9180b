"""A byte-pair tokenizer from the vocabulary and merges that a GGUF file carries. Knows lists, not the file.

Ids in the order of the merges serve as tiktoken's ranks. What such vocabularies do differently from OpenAI's is
told here: digits that stand alone, and bytes for which there is no token at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tiktoken import Encoding

from app.llm.errors import BadVocabulary
from app.llm.tokenizer import byte_alphabet
from app.llm.tokenizer.bpe import GPT2_PATTERN, BytePairTokenizer

# By the file's name for its rule of splitting, `tokenizer.ggml.pre`.
PATTERNS = {
    "gpt-2": GPT2_PATTERN,
    # Each digit alone, then GPT-2's rule on what lies between: hence white space before a digit stays whole.
    "smollm": r"'(?:[sdmt]|ll|ve|re)|\p{N}| ?\p{L}++| ?[^\s\p{L}\p{N}]++|\s++(?=\p{N})|\s++$|\s+(?!\S)|\s",
}
_NORMAL, _CONTROL, _USER_DEFINED = 1, 3, 4  # the file's token types


def from_vocabulary(
    tokens: Sequence[str], token_types: Sequence[int], merges: Sequence[str], pre: str, eos_id: int | None
) -> BytePairTokenizer:
    """The tokenizer of a GGUF file's `tokenizer.ggml.*` lists, equal to the one its model was trained with.

    Raises:
        BadVocabulary: lists that contradict each other, or a rule of splitting that is not known here.
    """
    if pre not in PATTERNS:
        raise BadVocabulary(f"splitting rule {pre!r} is not known; known are {', '.join(PATTERNS)}")
    ranks, specials = _ranks_and_specials(tokens, token_types)
    _check_merges(ranks, merges)
    if eos_id is not None and not 0 <= eos_id < len(tokens):
        raise BadVocabulary(f"the end-of-text id {eos_id} is outside 0..{len(tokens) - 1}")
    missing = [bytes([byte]) for byte in range(256) if bytes([byte]) not in ranks]
    # tiktoken wants all 256 bytes; those without a token get ids beyond the vocabulary.
    ranks |= {byte: len(tokens) + n for n, byte in enumerate(missing)}
    encoding = Encoding(f"gguf-{pre}", pat_str=PATTERNS[pre], mergeable_ranks=ranks, special_tokens=specials)
    return BytePairTokenizer(encoding, eos_id=eos_id, vocab_size=len(tokens))


def _ranks_and_specials(tokens: Sequence[str], token_types: Sequence[int]) -> tuple[dict[bytes, int], dict[str, int]]:
    if len(tokens) != len(token_types):
        raise BadVocabulary(f"{len(tokens)} tokens, but {len(token_types)} token types")
    ranks: dict[bytes, int] = {}
    specials: dict[str, int] = {}
    for token_id, (token, token_type) in enumerate(zip(tokens, token_types, strict=True)):
        if token_type in (_CONTROL, _USER_DEFINED):
            specials[token] = token_id
        elif token_type == _NORMAL:
            try:
                ranks[byte_alphabet.to_bytes(token)] = token_id
            except KeyError as error:
                raise BadVocabulary(f"token {token_id}, {token!r}, is not written in GPT-2's alphabet") from error
        else:
            raise BadVocabulary(f"token {token_id}, {token!r}, is of type {token_type}, which is not read")
    if len(ranks) + len(specials) != len(tokens) or b"" in ranks or "" in specials:
        raise BadVocabulary("a token stands in the vocabulary twice, or is empty")
    return ranks, specials


def _check_merges(ranks: dict[bytes, int], merges: Sequence[str]) -> None:
    """Ids must rise with the merges, else they could not stand for the merges' order."""
    merged_ids = []
    for merge in merges:
        left, _, right = merge.partition(" ")
        try:
            merged_ids.append(ranks[byte_alphabet.to_bytes(left + right)])
        except KeyError as error:
            raise BadVocabulary(f"the merge {merge!r} makes no token of the vocabulary") from error
    if any(first >= second for first, second in pairwise(merged_ids)):
        raise BadVocabulary("the ids do not follow the order of the merges")
    if len(merges) != sum(len(token) > 1 for token in ranks):
        raise BadVocabulary("some tokens of several bytes are made by no merge")
