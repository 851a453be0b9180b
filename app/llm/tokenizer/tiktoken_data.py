"""OpenAI's published encodings, read from files already on this machine. Never touches the network.

The folder is laid out as tiktoken's cache: each file is named by the SHA-1 of its address and checked by its
SHA-256 before it is believed. tiktoken itself would fetch what is missing or wrong; so the files are read here.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path

from tiktoken import Encoding

from app.llm.errors import MissingData
from app.llm.tokenizer import byte_alphabet
from app.llm.tokenizer.bpe import GPT2_PATTERN, BytePairTokenizer

END_OF_TEXT = "<|endoftext|>"
_CL100K_PATTERN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
_O200K_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Published:
    """One encoding as OpenAI publishes it."""

    url: str
    sha256: str
    pattern: str
    special_tokens: dict[str, int]
    vocab_size: int

    @property
    def file_name(self) -> str:
        """What tiktoken calls the file in its cache."""
        return hashlib.sha1(self.url.encode(), usedforsecurity=False).hexdigest()


_BLOBS = "https://openaipublic.blob.core.windows.net"
_CL100K_SPECIALS = {
    END_OF_TEXT: 100257,
    "<|fim_prefix|>": 100258,
    "<|fim_middle|>": 100259,
    "<|fim_suffix|>": 100260,
    "<|endofprompt|>": 100276,
}

PUBLISHED = {
    "gpt2": Published(
        f"{_BLOBS}/gpt-2/encodings/main/vocab.bpe",
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
        GPT2_PATTERN,
        {END_OF_TEXT: 50256},
        50257,
    ),
    "r50k_base": Published(
        f"{_BLOBS}/encodings/r50k_base.tiktoken",
        "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
        GPT2_PATTERN,
        {END_OF_TEXT: 50256},
        50257,
    ),
    "p50k_base": Published(
        f"{_BLOBS}/encodings/p50k_base.tiktoken",
        "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
        GPT2_PATTERN,
        {END_OF_TEXT: 50256},
        50281,
    ),
    "cl100k_base": Published(
        f"{_BLOBS}/encodings/cl100k_base.tiktoken",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        _CL100K_PATTERN,
        _CL100K_SPECIALS,
        100277,
    ),
    "o200k_base": Published(
        f"{_BLOBS}/encodings/o200k_base.tiktoken",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        _O200K_PATTERN,
        {END_OF_TEXT: 199999, "<|endofprompt|>": 200018},
        200019,
    ),
}


def load(name: str, cache_dir: Path) -> BytePairTokenizer:
    """The published encoding `name`, a key of `PUBLISHED`.

    Raises:
        MissingData: its file is not in `cache_dir`, or is not the published one.
    """
    published = PUBLISHED[name]
    content = _read(published, cache_dir)
    encoding = Encoding(
        name,
        pat_str=published.pattern,
        mergeable_ranks=_from_merges(content) if name == "gpt2" else _from_ranks(content),
        special_tokens=published.special_tokens,
    )
    return BytePairTokenizer(encoding, eos_id=published.special_tokens[END_OF_TEXT])


def is_present(name: str, cache_dir: Path) -> bool:
    """Whether `load` would find the file of `name`, and find it right."""
    try:
        _read(PUBLISHED[name], cache_dir)
    except MissingData:
        return False
    return True


def _read(published: Published, cache_dir: Path) -> bytes:
    path = cache_dir / published.file_name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MissingData(f"{path} is not there") from None
    if hashlib.sha256(content).hexdigest() != published.sha256:
        raise MissingData(f"{path} is not the file that {published.url} was when it was published")
    return content


def _from_merges(vocab_bpe: bytes) -> dict[bytes, int]:
    """GPT-2's own format: the bytes come first, then one merge a line; the first line is a version."""
    ranks = {token: rank for rank, token in enumerate(byte_alphabet.BYTES_IN_ORDER)}
    for rank, line in enumerate(vocab_bpe.decode().splitlines()[1:], start=len(ranks)):
        ranks[byte_alphabet.to_bytes(line.replace(" ", ""))] = rank
    return ranks


def _from_ranks(lines: bytes) -> dict[bytes, int]:
    """tiktoken's format: a token in base 64 and its rank on each line."""
    pairs = (line.split() for line in lines.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}
