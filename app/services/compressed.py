"""The bytes of an upload as they were before it was compressed: unpacked while they come, never more than allowed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import BinaryIO, Literal, cast

from app.errors import InvalidFile, TooLarge

CHUNK_BYTES = 1 << 20
READ_BYTES = 1 << 14  # of a gzip file at once: at the end of each of its members, what was read behind it is copied
MAX_MEMBERS = 100_000
"""Gzip files joined to one: tools that pack in blocks make one of some 64 KiB, so this is gigabytes."""
_STARTS: dict[bytes, Literal["gzip", "zstd"]] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


def compression_of(source: BinaryIO) -> Literal["gzip", "zstd"] | None:
    """How a file that stands at its beginning, and then stands there again, is compressed."""
    head = source.read(4)
    source.seek(0)
    return next((name for start, name in _STARTS.items() if head.startswith(start)), None)


def unpacked(source: BinaryIO, compression: str | None, max_bytes: int, param: str = "file") -> Iterator[bytes]:
    """The content in pieces of at most a MiB.

    Raises:
        TooLarge: it has more than `max_bytes`; told as soon as that is known.
        InvalidFile: what is compressed is damaged, does not reach its end, or consists of too many parts.
    """
    size = 0
    for chunk in _chunks(source, compression, param):
        size += len(chunk)
        if size > max_bytes:
            told = "unpacks to more than" if compression else "more than"
            raise TooLarge(f"{param}: {told} the {max_bytes:,} bytes of one dataset", param=param)
        yield chunk


def _chunks(source: BinaryIO, compression: str | None, param: str) -> Iterator[bytes]:
    if compression == "gzip":
        return _gunzipped(source, param)
    if compression == "zstd":
        return _unzstd(source, param)
    return iter(lambda: source.read(CHUNK_BYTES), b"")


def _gunzipped(source: BinaryIO, param: str) -> Iterator[bytes]:
    """One gzip file, or several that were joined."""
    unpacker = zlib.decompressobj(wbits=31)
    members = 1
    unread = source.read(READ_BYTES)
    while unread:
        try:
            chunk = unpacker.decompress(unread, CHUNK_BYTES)
        except zlib.error as error:
            raise _damaged("gzip", str(error), param) from None
        if chunk:
            yield chunk
        if unpacker.eof:
            unread = (unpacker.unused_data or source.read(READ_BYTES)).lstrip(b"\0")  # tape drives fill up with zeros
            if unread:
                members += 1
                if members > MAX_MEMBERS:
                    told = f"the gzip archive has more than {MAX_MEMBERS:,} members; pack it as one"
                    raise InvalidFile(f"{param}: {told}", param=param)
                unpacker = zlib.decompressobj(wbits=31)
        elif not (unread := unpacker.unconsumed_tail or source.read(READ_BYTES)):
            raise _damaged("gzip", "it ends in the midst", param)


def _unzstd(source: BinaryIO, param: str) -> Iterator[bytes]:
    import pyarrow as pa

    stream = pa.CompressedInputStream(pa.PythonFile(source, mode="r"), "zstd")
    while True:
        try:
            chunk = cast(bytes, stream.read(CHUNK_BYTES))
        except (pa.ArrowException, OSError) as error:
            raise _damaged("zstd", str(error)[:200], param) from None
        if not chunk:
            return
        yield chunk


def _damaged(compression: str, told: str, param: str) -> InvalidFile:
    return InvalidFile(f"{param}: the {compression} archive is damaged: {told}", param=param)
