"""Public texts and sets of rows that the documentation trains on, fetched from where their makers published them.

None of their text is part of Inkling: what is known of each is its address, the SHA-256 of its file and how its rows
become JSONL. Knows addresses and bytes; what becomes of the rows is the caller's business.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any, Literal

import httpx2

from app.errors import HubUnreachable, InvalidFile, InvalidRequest
from app.services import outgoing
from app.services.addresses import BadAddress, Unreachable
from app.services.outgoing import DIRECTLY, HOW_TO_ALLOW, Bounds, Way

TIMEOUT_S = 30.0  # for an answer to begin, or to go on
TOTAL_S = 600.0
MAX_ARCHIVE_BYTES = 1 << 20
READABLE = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what Python unpacks no further than it is asked to
BOOK = "https://raw.githubusercontent.com", "/rasbt/LLMs-from-scratch/"

Rows = Iterable[dict[str, Any]]


@dataclass(frozen=True)
class PublicSet:
    """A file of rows as it lies at its maker's.

    Attributes:
        host, path: its address; a mirror has the same path.
        member: of the zip archive at that address, the file; None: the address has the file itself.
        size, sha256: of the file, out of its archive.
        rows: reads its text; None: the file is a text, and stays as it is.
        kind: of the dataset that it makes.
        recipe: of a job that learns from it.
        licence: what it may be used for, and whose it is.
        left_out: which of its rows are not taken, in words.
    """

    name: str
    host: str
    path: str
    member: str | None
    size: int
    sha256: str
    rows: Callable[[str], Rows] | None
    kind: Literal["labelled", "instructions", "preferences", "text"]
    recipe: Literal["classify", "instruct", "dpo", "pretrain"]
    licence: str
    left_out: str = ""

    @property
    def file_name(self) -> str:
        """Of the dataset."""
        return f"{self.name}.{'txt' if self.rows is None else 'jsonl'}"


def _records(text: str) -> Rows:
    found: list[dict[str, Any]] = json.loads(text)
    return found


def _preferences(text: str) -> Rows:
    """The records that prefer one answer; a job would refuse those in which both are the same."""
    return (one for one in _records(text) if one["chosen"].strip() != one["rejected"].strip())


def _messages(text: str) -> Rows:
    """The rows that pandas reads by itself: a message that begins with a quotation mark goes on to the next one."""
    from app.llm.data.labelled import read_labelled

    return ({"text": one.text, "label": one.label} for one in read_labelled(StringIO(text, newline=""), "\t"))


SETS = (
    PublicSet(
        name="sms-spam",
        host="https://archive.ics.uci.edu",
        path="/static/public/228/sms+spam+collection.zip",
        member="SMSSpamCollection",
        size=477_907,
        sha256="7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d",
        rows=_messages,
        kind="labelled",
        recipe="classify",
        licence="CC BY 4.0, Almeida and Gómez Hidalgo, SMS Spam Collection, UCI Machine Learning Repository 228",
    ),
    PublicSet(
        name="instructions",
        host=BOOK[0],
        path=f"{BOOK[1]}b80e7804b30830a00eb55d2abc7ac25a07f36fdc/ch07/01_main-chapter-code/instruction-data.json",
        member=None,
        size=203_524,
        sha256="7e09a9af353722ca15c18bc580f093f9c39d3178335a75177319cb1e1d163944",
        rows=_records,
        kind="instructions",
        recipe="instruct",
        licence="Apache-2.0, Sebastian Raschka, LLMs-from-scratch, chapter 7",
    ),
    PublicSet(
        name="preferences",
        host=BOOK[0],
        path=f"{BOOK[1]}2b7bd46a93311c1a77446ab1a83ff013ba3f6a70/"
        "ch07/04_preference-tuning-with-dpo/instruction-data-with-preference.json",
        member=None,
        size=386_968,
        sha256="305315abf14f65fa42c01a0877572f832606571c2a7d49f152ac1d758b16756e",
        rows=_preferences,
        kind="preferences",
        recipe="dpo",
        licence="Apache-2.0, Sebastian Raschka, LLMs-from-scratch, chapter 7",
        left_out="6 of its 1,100 records, whose two answers are the same",
    ),
    PublicSet(
        name="the-verdict",
        host=BOOK[0],
        path=f"{BOOK[1]}2b7bd46a93311c1a77446ab1a83ff013ba3f6a70/ch02/01_main-chapter-code/the-verdict.txt",
        member=None,
        size=20_479,
        sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
        rows=None,
        kind="text",
        recipe="pretrain",
        licence="public domain, Edith Wharton, The Verdict (1908), chapters 2, 4 and 5",
    ),
)


def named(name: str) -> PublicSet:
    """The set of a name.

    Raises:
        InvalidRequest: there is none; the message lists those that there are.
    """
    for one in SETS:
        if one.name == name:
            return one
    raise InvalidRequest(f"there is no public set {name[:100]!r}; there are {', '.join(one.name for one in SETS)}")


def fetch(wanted: PublicSet, mirror: str | None = None, way: Way = DIRECTLY) -> bytes:
    """Its rows as JSONL, or its text, once what came was found to be the very file that is known.

    Args:
        mirror: the beginning of the addresses of a server that has the files in place of their makers'.
        way: how to get there.

    Raises:
        HubUnreachable: nobody answers there, or not with a file.
        InvalidFile: what came is another file.
    """
    url = (mirror or wanted.host).rstrip("/") + wanted.path
    sent = _download(url, wanted.size if wanted.member is None else MAX_ARCHIVE_BYTES, way)
    content = sent if wanted.member is None else _unpacked(sent, wanted.member, wanted.size, url)
    if hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise InvalidFile(f"{url} has another file than the one that is known as {wanted.name} (its SHA-256 differs)")
    if wanted.rows is None:
        return content
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in wanted.rows(content.decode()))
    return "".join(lines).encode()


def _download(url: str, most: int, way: Way) -> bytes:
    """What lies at an address, of which no more than `most` bytes are taken."""
    found = bytearray()
    try:
        with outgoing.client(way, Bounds(most + 1, TOTAL_S, TIMEOUT_S)) as client, client.stream("GET", url) as answer:
            answer.raise_for_status()
            for piece in answer.iter_raw():
                found += piece
                if len(found) > most:
                    raise InvalidFile(f"{url} has more than the {most:,} bytes that are expected there")
    except httpx2.HTTPStatusError as error:
        raise HubUnreachable(f"{url} was answered with HTTP {error.response.status_code}") from error
    except BadAddress as error:
        raise HubUnreachable(f"{url}: {error}. {HOW_TO_ALLOW}") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, Unreachable) as error:
        told = (
            f"{url} cannot be fetched ({str(error) or type(error).__name__}); --mirror names another server that has it"
        )
        raise HubUnreachable(told) from error
    return bytes(found)


def _unpacked(archive: bytes, member: str, size: int, url: str) -> bytes:
    """A file out of a zip archive, of which no more is unpacked than it should have."""
    try:
        with zipfile.ZipFile(BytesIO(archive)) as opened:
            about = opened.getinfo(member)
            if about.file_size != size or about.compress_type not in READABLE:
                raise InvalidFile(f"{url}: {member} in it is another file than the one that is known")
            with opened.open(about) as file:
                return file.read(size + 1)
    except KeyError as error:
        raise InvalidFile(f"{url} is an archive without {member}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: it wants a password
        raise InvalidFile(f"{url} is no archive that can be unpacked ({error})") from error
