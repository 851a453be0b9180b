"""Public sets: their rows from a server that stands for their makers', and what may come in place of them."""

from __future__ import annotations

import json
import socket
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.errors import HubUnreachable, InvalidFile, InvalidRequest
from app.services import public_sets
from app.services.outgoing import Way
from tests.fake_sets import MADE_UP, FakeSets, filled, made_up_sets, real_content, zipped
from tests.serving import served

HERE = Way(private=True)
SETS = {one.name: one for one in made_up_sets()}
SPAM, INSTRUCTIONS = SETS["sms-spam"], SETS["instructions"]


@pytest.fixture
def server() -> FakeSets:
    return filled(made_up_sets())


@pytest.fixture
def mirror(server: FakeSets) -> Iterator[str]:
    with served(server.app()) as port:
        yield f"http://127.0.0.1:{port}/mirror/"


def rows(lines: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.decode().splitlines()]


def test_messages_come_out_of_their_archive_as_pandas_reads_them(mirror: str) -> None:
    assert rows(public_sets.fetch(SPAM, mirror, HERE)) == [
        {"text": "At six?", "label": "ham"},
        {"text": "WIN a prize", "label": "spam"},
        {"text": "Wait,\nham\tfor me, she said", "label": "ham"},
    ]


def test_records_become_lines(mirror: str) -> None:
    lines = public_sets.fetch(INSTRUCTIONS, mirror, HERE)
    assert rows(lines) == json.loads(MADE_UP["instructions"])
    assert "è".encode() in lines
    records = json.loads(MADE_UP["preferences"])
    assert (
        rows(public_sets.fetch(SETS["preferences"], mirror, HERE)) == records[:1]
    )  # of which the other prefers nothing


def test_a_text_stays_as_it_is(mirror: str) -> None:
    assert public_sets.fetch(SETS["the-verdict"], mirror, HERE) == MADE_UP["the-verdict"]
    assert [one.file_name for one in SETS.values()][-2:] == ["preferences.jsonl", "the-verdict.txt"]


def test_without_a_mirror_the_maker_is_asked(server: FakeSets, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(public_sets, "_download", lambda url, most, way: asked.append(url) or MADE_UP["instructions"])
    public_sets.fetch(INSTRUCTIONS)
    assert asked == [INSTRUCTIONS.host + INSTRUCTIONS.path]
    assert asked[0].startswith("https://")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no archive", "no archive that can be unpacked"),
        (zipped("another", b"x"), "without SMSSpamCollection"),
        (zipped("SMSSpamCollection", MADE_UP["sms-spam"] + b"more"), "another file than the one that is known"),
        (zipped("SMSSpamCollection", b"x" * len(MADE_UP["sms-spam"])), "SHA-256 differs"),
        (zipped("SMSSpamCollection", MADE_UP["sms-spam"], zipfile.ZIP_BZIP2), "another file than"),
        (b"x" * (public_sets.MAX_ARCHIVE_BYTES + 1), "more than the 1,048,576 bytes"),
    ],
    ids=["no archive", "no such member", "longer", "other bytes", "packed otherwise", "too large"],
)
def test_another_archive_is_refused(server: FakeSets, mirror: str, content: bytes, told: str) -> None:
    server.files[SPAM.path] = content
    with pytest.raises(InvalidFile, match=told):
        public_sets.fetch(SPAM, mirror, HERE)


def test_an_archive_that_lies_about_a_size_unpacks_to_no_more(server: FakeSets, mirror: str) -> None:
    """200 MB of zeros, told as few bytes in both of its heads."""
    large = zipped(SPAM.member or "", b"\0" * 200_000_000)
    server.files[SPAM.path] = large.replace((200_000_000).to_bytes(4, "little"), SPAM.size.to_bytes(4, "little"))
    with pytest.raises(InvalidFile):
        public_sets.fetch(SPAM, mirror, HERE)


def test_an_archive_that_is_cut_or_locked_is_refused(server: FakeSets, mirror: str) -> None:
    whole = zipped(SPAM.member or "", MADE_UP["sms-spam"])
    data = whole.index(MADE_UP["sms-spam"][:0] + b"SMSSpamCollection") + len("SMSSpamCollection")
    server.files[SPAM.path] = whole[:data] + b"\xff" * 20 + whole[data + 20 :]
    with pytest.raises(InvalidFile, match="no archive that can be unpacked"):
        public_sets.fetch(SPAM, mirror, HERE)
    head = whole.index(b"PK\x01\x02", whole.index(b"PK\x01\x02") + 1)  # of the second file, in the table at the end
    server.files[SPAM.path] = whole[: head + 8] + b"\x01" + whole[head + 9 :]
    with pytest.raises(InvalidFile, match="password"):
        public_sets.fetch(SPAM, mirror, HERE)


def test_another_file_is_refused(server: FakeSets, mirror: str) -> None:
    server.files[INSTRUCTIONS.path] = MADE_UP["instructions"].replace(b"Say", b"Cry")
    with pytest.raises(InvalidFile, match=r"SHA-256 differs"):
        public_sets.fetch(INSTRUCTIONS, mirror, HERE)
    server.files[INSTRUCTIONS.path] = MADE_UP["instructions"] + b" "
    with pytest.raises(InvalidFile, match="has more than the"):
        public_sets.fetch(INSTRUCTIONS, mirror, HERE)


def test_nobody_there_is_told_with_the_address(server: FakeSets, mirror: str) -> None:
    del server.files[INSTRUCTIONS.path]
    with pytest.raises(HubUnreachable, match=r"instruction-data\.json was answered with HTTP 404"):
        public_sets.fetch(INSTRUCTIONS, mirror, HERE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and listens to nobody
        with pytest.raises(HubUnreachable, match=r"cannot be fetched .*--mirror"):
            public_sets.fetch(INSTRUCTIONS, f"http://127.0.0.1:{taken.getsockname()[1]}", HERE)
    with pytest.raises(HubUnreachable, match="cannot be fetched"):
        public_sets.fetch(INSTRUCTIONS, "no address", HERE)


def test_a_name_that_is_none_is_told_those_that_are() -> None:
    assert public_sets.named("instructions").recipe == "instruct"
    with pytest.raises(InvalidRequest, match="there are sms-spam, instructions, preferences, the-verdict"):
        public_sets.named("spam")


def test_the_real_files_are_the_ones_that_are_known(shared_file: Callable[[str], Path]) -> None:
    with served(filled(public_sets.SETS, real_content(shared_file)).app()) as port:
        sent = {one.name: public_sets.fetch(one, f"http://127.0.0.1:{port}/mirror", HERE) for one in public_sets.SETS}
    assert sent["the-verdict"] == shared_file("the-verdict.txt").read_bytes()
    found = {name: rows(sent[name]) for name in ("sms-spam", "instructions", "preferences")}
    labels = [row["label"] for row in found["sms-spam"]]
    assert (labels.count("ham"), labels.count("spam"), len(labels)) == (4825, 747, 5572)  # as pandas reads it
    assert [len(found[name]) for name in ("instructions", "preferences")] == [1100, 1094]
    assert SETS["preferences"].left_out.startswith("6 of its 1,100 records")
    assert {"instruction", "input", "chosen", "rejected"} <= set(found["preferences"][0])
