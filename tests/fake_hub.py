"""A hub of models as huggingface.co answers: revisions with their files' hashes, files by ranges, and bad days."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI, Request, Response

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """One repository `someone/tiny`, whose files are those of a folder.

    Attributes:
        cut_after: bytes after which an answer with a large file ends early; None: never.
        lies_about: a file whose hash is told wrongly.
        asked: for each request for a large file, the first byte that was asked for.
    """

    folder: Path
    cut_after: int | None = None
    lies_about: str | None = None
    licence: str | None = "mit"
    asked: list[int] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_route("/api/models/someone/tiny/revision/{revision}", self._revision)
        app.add_api_route("/someone/tiny/resolve/{revision}/{name}", self._file, methods=["GET", "HEAD"])
        return app

    def _revision(self, revision: str) -> Response:
        if revision not in ("main", COMMIT):
            headers = {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "no such revision"}
            return Response(status_code=404, headers=headers)
        from fastapi.responses import JSONResponse

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
        content = (self.folder / name).read_bytes()
        is_large = name.endswith((".safetensors", ".gguf"))
        etag = hashlib.sha256(content).hexdigest() if is_large else _git_sha1(content)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": revision, "Accept-Ranges": "bytes"}
        first = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        if is_large and request.method == "GET":
            self.asked.append(first)
        if "range" in request.headers:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        rest = content[first:]
        headers["Content-Length"] = str(len(rest))
        if request.method == "HEAD":
            return Response(status_code=200, headers=headers)
        if is_large and self.cut_after is not None:
            from fastapi.responses import StreamingResponse

            part, self.cut_after = rest[: self.cut_after], None
            return StreamingResponse(iter([part]), 206 if first else 200, headers)  # fewer bytes than it promised
        return Response(rest, 206 if "range" in request.headers else 200, headers)


def _git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
