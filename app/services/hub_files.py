"""One file of a hub's repository: what arrived of it stays, the rest is asked for, the whole is checked by its hash.

While it is not whole it lies beside its place as `<name>.part`. Knows bytes and hashes; which files are wanted, and
how a refusal of the hub is told, is `hub`'s business.
"""

from __future__ import annotations

import errno
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import InvalidFile
from app.services import outgoing
from app.services.outgoing import Bounds, Way

if TYPE_CHECKING:
    from httpx2 import Response

TIMEOUT_S = 10.0  # for an answer to begin, or to go on
TOTAL_S = 60.0  # and for the whole of it, beside what its bytes take
SLOWEST_BYTES_A_S = 16 * 1024
SPARE_BYTES = 1024 * 1024  # one more than there should be is seen where the file is written
PART = ".part"
_RANGE = re.compile(r"bytes (\d+)-")


@dataclass(frozen=True)
class Entry:
    """A file as the hub tells of it; one of the two hashes is known."""

    name: str
    size: int
    sha256: str | None
    git_sha1: str | None


def fetch(url: str, entry: Entry, folder: Path, way: Way) -> Path:
    """One file, fetched or there already, once its hash was found to be the hub's.

    Raises:
        InvalidFile: what came is not what the hub says it is, and is gone again.
        BadAddress: it leads where it must not.
        httpx2.HTTPError, HfHubHTTPError, OSError: it did not come whole; what did is there for the next time, unless it
            has filled the disk.
    """
    place, part = folder / entry.name, folder / f"{entry.name}{PART}"
    if place.exists() and _is_as_told(place, entry):
        return place
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    part.touch(mode=0o600)
    if part.stat().st_size > entry.size:
        part.write_bytes(b"")
    try:
        _complete(url, part, entry.size, way)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            part.unlink()  # else the disk stays full, for the database and all others too
        raise
    if not _is_as_told(part, entry):
        part.unlink()
        told = f"{entry.name} came with other bytes than the hub says it has; try again"
        raise InvalidFile(f"source.hub: {told}", param="source.hub")
    part.replace(place)
    return place


def arrived(entry: Entry, folder: Path) -> int:
    """How many bytes of a file, whole or in part, are in `folder` already."""
    places = (folder / entry.name, folder / f"{entry.name}{PART}")
    return min(entry.size, max((place.stat().st_size for place in places if place.exists()), default=0))


def _complete(url: str, part: Path, size: int, way: Way) -> None:
    """Ask for what is missing, again for as long as each answer brings some of it."""
    from httpx2 import HTTPError

    while (before := part.stat().st_size) < size:
        try:
            _ask_from(url, part, before, size, way)
        except HTTPError:
            if part.stat().st_size <= before:
                raise
        if part.stat().st_size <= before:  # an answer that ended as if it were whole: the hash will tell
            return


def _ask_from(url: str, part: Path, first: int, size: int, way: Way) -> None:
    """Write what the hub has from byte `first` on, or from wherever its answer begins."""
    from huggingface_hub import hf_raise_for_status

    headers = {"Range": f"bytes={first}-"} if first else {}
    bounds = Bounds(size + SPARE_BYTES, TOTAL_S + size / SLOWEST_BYTES_A_S, TIMEOUT_S)
    with outgoing.client(way, bounds) as client, client.stream("GET", url, headers=headers) as answer:
        if answer.status_code != 416 or not first:
            hf_raise_for_status(answer)
            return _write(answer, part, first, size)
    _ask_from(url, part, 0, size, way)  # it has no such range: from the beginning, then


def _write(answer: Response, part: Path, asked: int, size: int) -> None:
    first = _first_byte(answer, asked)
    if first > asked:
        raise InvalidFile(f"source.hub: asked for byte {asked}, the hub answers from {first}", param="source.hub")
    with part.open("r+b") as file:
        file.truncate(first)
        file.seek(first)
        for piece in answer.iter_bytes():
            file.write(piece)
            if file.tell() > size:
                return  # more than there should be: the hash will tell


def _first_byte(answer: Response, asked: int) -> int:
    """Where the answer begins in the file: a server may not know ranges, and send it whole."""
    if answer.status_code != 206:
        return 0
    told = _RANGE.match(answer.headers.get("Content-Range", ""))
    return int(told.group(1)) if told else asked


def _is_as_told(path: Path, entry: Entry) -> bool:
    if path.stat().st_size != entry.size:
        return False
    with path.open("rb") as file:
        if entry.sha256 is not None:
            return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256
        content = file.read()
    digest = hashlib.sha1(b"blob %d\0" % len(content), usedforsecurity=False)  # git's name of a file's content
    digest.update(content)
    return digest.hexdigest() == entry.git_sha1
