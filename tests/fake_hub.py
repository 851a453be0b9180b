"""A hub of models as huggingface.co answers: revisions with their files' hashes, files by ranges, and bad days."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """One repository `someone/tiny`, whose files are those of a folder.

    Attributes:
        cut_after: bytes after which an answer with a large file ends early, and the hub falls silent; None: never.
        is_down: files are answered with 503.
        knows_ranges: else a file is always sent from its beginning.
        refuses_ranges: a range is answered with 416.
        speaks_html: the revision is answered by a page, as a proxy does that wants a name and a password.
        lies_about: a file whose hash is told wrongly.
        asked: for each request for a large file, the first byte that was asked for.
        sent: names of all files that were asked for.
    """

    folder: Path
    cut_after: int | None = None
    is_down: bool = False
    knows_ranges: bool = True
    refuses_ranges: bool = False
    speaks_html: bool = False
    lies_about: str | None = None
    licence: str | None = "mit"
    asked: list[int] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/api/models/someone/tiny/revision/{revision}", self._revision)
        app.add_api_route("/someone/tiny/resolve/{revision}/{name}", self._file)
        return app

    def _revision(self, revision: str) -> Response:
        if self.speaks_html:
            return Response("<html>Please log in", media_type="text/html")
        if revision not in ("main", COMMIT):
            headers = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "no such revision"}
            return Response(status_code=404, headers=headers)
        siblings = [self._sibling(path) for path in sorted(self.folder.iterdir())]
        card = {"license": self.licence} if self.licence else {}
        return JSONResponse({"id": "someone/tiny", "sha": COMMIT, "cardData": card, "siblings": siblings})

    def _sibling(self, path: Path) -> dict[str, object]:
        content = path.read_bytes()
        told = {"rfilename": path.name, "size": len(content), "blobId": _git_sha1(content)}
        digest = hashlib.sha256(content).hexdigest()
        if path.name == self.lies_about:
            told["blobId"] = digest = "0" * len(digest)
        if path.suffix in (".safetensors", ".gguf", ".bin"):
            told["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
        return told

    def _file(self, revision: str, name: str, request: Request) -> Response:
        if self.is_down:
            return Response(status_code=503)
        self.sent.append(name)
        content = (self.folder / name).read_bytes()
        is_large = name.endswith((".safetensors", ".gguf"))
        first = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if is_large:
            self.asked.append(first)
        if first and self.refuses_ranges:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{len(content)}"})
        first = first if self.knows_ranges else 0
        rest, status = content[first:], 206 if first else 200
        headers = {"Content-Length": str(len(rest))}
        if first:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        if is_large and self.cut_after is not None:
            part, self.cut_after, self.is_down = rest[: self.cut_after], None, True
            return StreamingResponse(iter([part]), status, headers)  # fewer bytes than it promised
        return Response(rest, status, headers)


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324 - git's own
