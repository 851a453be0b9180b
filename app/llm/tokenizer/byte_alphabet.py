"""GPT-2's way to write bytes as printable characters, in which its vocabulary files are kept. Knows no tokenizer.

A byte that prints stands for itself; the 68 others, the space among them, get the characters from U+0100 on.
"""

from __future__ import annotations

PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
OTHERS = tuple(byte for byte in range(256) if byte not in PRINTABLE)

BYTES_IN_ORDER = tuple(bytes([byte]) for byte in (*PRINTABLE, *OTHERS))
"""The 256 bytes in the order of their ids in GPT-2's vocabulary."""

BYTE_OF = {chr(byte): byte for byte in PRINTABLE} | {chr(0x100 + n): byte for n, byte in enumerate(OTHERS)}
"""Character in a vocabulary file → the byte it stands for."""

_CHARACTER_OF = {byte: character for character, byte in BYTE_OF.items()}


def to_bytes(written: str) -> bytes:
    """The bytes of a token as a vocabulary file writes it.

    Raises:
        KeyError: a character outside the alphabet.
    """
    return bytes([BYTE_OF[character] for character in written])


def to_text(content: bytes) -> str:
    """Bytes as a vocabulary file writes them."""
    return "".join(map(_CHARACTER_OF.__getitem__, content))
