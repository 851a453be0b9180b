"""Reads a text file as it comes in, in pieces: is it text, how long, what is its hash. Keeps nothing of it."""

from __future__ import annotations

import codecs
import hashlib

from app.errors import InvalidFile, UnsupportedFormat

LOOKED_AT_BYTES = 8192
_BINARY_STARTS = {  # of formats without a NUL byte near their beginning
    b"%PDF-": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip archive",
    b"BZh91AY&SY": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x7fELF": "a program",
    b"\x80\x02": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def refuse_binary(head: bytes, param: str) -> None:
    """Pass the beginning of a file of text, or of rows in text.

    Raises:
        UnsupportedFormat: it is that of a known binary format.
    """
    for start, what in _BINARY_STARTS.items():
        if head.startswith(start):
            raise UnsupportedFormat(f"{param}: this is {what}; send plain UTF-8 text", param=param)


class TextReader:
    """Takes the bytes of one file in order and refuses what is no UTF-8 text; `finish` says that it is whole."""

    def __init__(self, param: str = "file") -> None:
        self.size_bytes = 0
        self.characters = 0
        self.lines = 0
        self.has_byte_order_mark = False
        self._param = param
        self._head = b""
        self._last = ""
        self._is_blank = True
        self._hash = hashlib.sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def take(self, chunk: bytes) -> None:
        """Read the next bytes.

        Raises:
            UnsupportedFormat: the file begins as a known binary format does, or with NUL bytes in it.
            InvalidFile: it is no UTF-8, or has a NUL character; the message says at which byte.
        """
        if len(self._head) < LOOKED_AT_BYTES:
            self._head += chunk[: LOOKED_AT_BYTES - len(self._head)]
            self._refuse_binary()
        nul = chunk.find(b"\0")
        if nul >= 0:
            raise self._invalid(f"there is a NUL character at byte {self.size_bytes + nul}; is it a text file?")
        held = len(self._decoder.getstate()[0])
        try:
            text = self._decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise self._not_utf8(self.size_bytes - held + error.start) from None
        self.size_bytes += len(chunk)
        self._hash.update(chunk)
        self._count(text)

    def finish(self) -> None:
        """The file is at its end.

        Raises:
            InvalidFile: it is empty, or ends inside a character.
        """
        held = self._decoder.getstate()[0]
        if held:
            raise self._not_utf8(self.size_bytes - len(held))
        if self._is_blank:
            raise self._invalid("the file is empty" if self.size_bytes == 0 else "there is only white space in it")
        if self._last != "\n":
            self.lines += 1

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def _count(self, text: str) -> None:
        if not text:
            return
        if self.characters == 0:
            self.has_byte_order_mark = text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}")
        self.characters += len(text)
        self.lines += text.count("\n")
        self._last = text[-1]
        if self._is_blank:
            self._is_blank = not text.strip().strip("\N{ZERO WIDTH NO-BREAK SPACE}")

    def _refuse_binary(self) -> None:
        refuse_binary(self._head, self._param)
        if b"\0" in self._head:
            told = "there are NUL bytes at its beginning, as in a binary file; send plain UTF-8 text"
            raise UnsupportedFormat(f"{self._param}: {told}", param=self._param)

    def _not_utf8(self, at: int) -> InvalidFile:
        return self._invalid(f"the bytes at {at} are no UTF-8; save the text as UTF-8 and send it again")

    def _invalid(self, message: str) -> InvalidFile:
        return InvalidFile(f"{self._param}: {message}", param=self._param)
