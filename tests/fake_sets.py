"""A server that has public sets under their makers' paths, and sets of a few made-up rows to fetch from it."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from fastapi import FastAPI, Response

from app.services import public_sets
from app.services.public_sets import PublicSet

MADE_UP = {
    "sms-spam": b'ham\tAt six?\nspam\tWIN a prize\nham\t"Wait,\nham\tfor me", she said\n',
    "instructions": json.dumps([{"instruction": "Say è.", "input": "", "output": "è"}] * 2).encode(),
    "preferences": json.dumps(
        [
            {"instruction": "Greet.", "input": "", "output": "Hi", "chosen": "Good day.", "rejected": "What?"},
            {"instruction": "Thank.", "input": "", "output": "Ta", "chosen": "Thanks.", "rejected": "Thanks. "},
        ]
    ).encode(),
    "the-verdict": "He put down his brush. «Nul»\n".encode(),
}
REAL_FILES = {
    "sms-spam": "SMSSpamCollection.tsv",
    "instructions": "instruction-data.json",
    "preferences": "instruction-data-with-preference.json",
    "the-verdict": "the-verdict.txt",
}


@dataclass
class FakeSets:
    """What lies at each path.

    Attributes:
        asked: paths that were asked for.
        address: for `--mirror`, once it is served.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/mirror/{path:path}", self._file)
        return app

    def _file(self, path: str) -> Response:
        self.asked.append(path)
        found = self.files.get(f"/{path}")
        return Response(status_code=404) if found is None else Response(found)

    def put(self, one: PublicSet, content: bytes) -> None:
        self.files[one.path] = content if one.member is None else zipped(one.member, content)


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("readme", "about it")
        archive.writestr(name, content)
    return made.getvalue()


def made_up_sets() -> tuple[PublicSet, ...]:
    """The sets that there are, each with a few rows of our own in place of its maker's."""
    return tuple(_with_content(one, MADE_UP[one.name]) for one in public_sets.SETS)


def _with_content(one: PublicSet, content: bytes) -> PublicSet:
    return replace(one, size=len(content), sha256=hashlib.sha256(content).hexdigest())


def filled(sets: tuple[PublicSet, ...], content: Callable[[str], bytes] = MADE_UP.__getitem__) -> FakeSets:
    """A server with all of `sets`."""
    server = FakeSets()
    for one in sets:
        server.put(one, content(one.name))
    return server


def real_content(shared_file: Callable[[str], Path]) -> Callable[[str], bytes]:
    return lambda name: shared_file(REAL_FILES[name]).read_bytes()
