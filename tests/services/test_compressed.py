"""Compressed uploads: unpacked in pieces, bombs refused at once, damage told."""

from __future__ import annotations

import gzip
import io
import os
import time
import zlib

import pyarrow as pa
import pytest

from app.errors import InvalidFile, TooLarge
from app.services import compressed
from app.services.compressed import compression_of, unpacked

CONTENT = os.urandom(100_000) + bytes(2_000_000)


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


def read(content: bytes, max_bytes: int = 1 << 30) -> bytes:
    source = io.BytesIO(content)
    return b"".join(unpacked(source, compression_of(source), max_bytes))


@pytest.mark.parametrize(
    "sent",
    [
        CONTENT,
        gzip.compress(CONTENT, mtime=0),
        gzip.compress(CONTENT[:7], mtime=0) + gzip.compress(CONTENT[7:], mtime=0),
        gzip.compress(CONTENT, mtime=0) + bytes(512),
        zstd(CONTENT),
        zstd(CONTENT[:7]) + zstd(CONTENT[7:]),
        gzip.compress(b"", mtime=0),
        b"",
    ],
)
def test_the_content_comes_out(sent: bytes) -> None:
    assert read(sent) == (CONTENT if len(sent) > 100 else b"")


@pytest.mark.parametrize("compress", [gzip.compress, zstd])
def test_a_bomb_is_refused_before_it_is_unpacked(compress) -> None:
    source = io.BytesIO(compress(bytes(100_000_000)))
    chunks = unpacked(source, compression_of(source), 3_000_000)
    assert sum(len(next(chunks)) for _ in range(2)) <= 3_000_000
    with pytest.raises(TooLarge, match="unpacks to more than the 3,000,000 bytes"):
        list(chunks)


@pytest.mark.parametrize(
    "sent",
    [
        gzip.compress(CONTENT, mtime=0)[:-9],
        gzip.compress(CONTENT, mtime=0)[:50_000],
        gzip.compress(CONTENT, mtime=0) + b"and more",
        gzip.compress(CONTENT, mtime=0)[:-8] + bytes(8),
        b"\x1f\x8b" + bytes(100),
        zstd(CONTENT)[:50_000],
        zstd(CONTENT)[:6] + bytes(100),
    ],
)
def test_damage_is_told(sent: bytes) -> None:
    with pytest.raises(InvalidFile, match="archive is damaged"):
        read(sent)


def test_a_deflate_stream_is_no_gzip() -> None:
    assert compression_of(io.BytesIO(zlib.compress(b"text"))) is None


def test_an_archive_of_very_many_members_is_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = gzip.compress(b"")
    began = time.process_time()
    with pytest.raises(InvalidFile, match="more than 100,000 members"):
        read(empty * 1_000_000)
    assert time.process_time() - began < 10
    monkeypatch.setattr(compressed, "MAX_MEMBERS", 3)
    assert read(gzip.compress(b"ab") * 3) == b"ababab"
    with pytest.raises(InvalidFile, match="more than 3 members"):
        read(gzip.compress(b"ab") * 4)
