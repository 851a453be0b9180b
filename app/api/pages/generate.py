"""The page that generates. A script streams, branches and compares there; without it, the form is sent and answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse

from app.api.answering import whole
from app.api.deps import ReadSession, RuntimeDep
from app.api.errors import validation_answer
from app.api.limiting import closing
from app.api.pages.generate_form import CONTROLS, SEED_NOTE, STOP_NOTE, Control, filled, request_of
from app.api.pages.render import render
from app.db.session import Session
from app.errors import AppError
from app.schemas.generate import GenerateIn, Message
from app.services import branches, generation, remote_generation
from app.services.runtime import Runtime

router = APIRouter(prefix="/ui/generate", include_in_schema=False)

FIRST_PROMPT = "The lighthouse keeper opened the door and"
ENDINGS = {
    "stop": "The model ended the text.",
    "length": "It stopped at the number of tokens asked for.",
    "abort": "The server stopped it early.",
    "stopped": "It was stopped by a person.",
    "broken": "The connection ended before the text did.",
}


@dataclass(frozen=True)
class Written:
    """A text, and how it ended, for a page without script."""

    text: str
    ending: str
    seed: int | None


@dataclass(frozen=True)
class GeneratePage:
    template: ClassVar[str] = "generate.html"
    place: ClassVar[str] = "generate"
    controls: ClassVar[tuple[Control, ...]] = CONTROLS
    seed_note: ClassVar[str] = SEED_NOTE
    stop_note: ClassVar[str] = STOP_NOTE

    fields: Mapping[str, str]
    """What stands in the form, by name."""
    models: Sequence[str]
    """To choose from without script; the first one is taken where none is named."""
    max_text_bytes: int
    is_remote: bool
    """Another server generates: the models are its own, and it cannot go on from a token."""
    branch: str = ""
    """The kept text that the address names."""
    turns: Sequence[Message] = ()
    """Of a kept conversation, those before its last message."""
    texts: Sequence[Written] = ()
    refusal: str = ""


@router.get("")
def show(request: Request, runtime: RuntimeDep, session: ReadSession, branch: str = "") -> HTMLResponse:
    """Show the form as the address fills it, and the kept text that it names."""
    given = dict(request.query_params)
    fields = filled({"prompt": FIRST_PROMPT} | given)
    if not branch:
        return render(_page(runtime, session, fields))
    try:
        line = branches.read(session, branch)
    except AppError as error:
        return render(_page(runtime, session, fields, refusal=error.message), status=error.status)
    return _of_line(runtime, session, line, given)


@router.post("")
async def write(request: Request, runtime: RuntimeDep) -> Response:
    """Answer the form where no script does: the same page, with the text."""
    form = await request.form()
    fields = filled({name: value for name, value in form.items() if isinstance(value, str)})
    try:
        writing = await _prepared(runtime, request_of(fields))
        writing.start()
        return await whole(request, lambda: _answered(runtime, fields, writing), closing(request, writing))
    except RequestValidationError as error:
        body, status = validation_answer(error)
        return _refused(runtime, fields, body["error"]["message"], status)
    except AppError as error:
        return _refused(runtime, fields, error.message, error.status)


class _Choice(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def finish_reason(self) -> str: ...


async def _prepared(runtime: Runtime, body: GenerateIn) -> generation.Generation | remote_generation.RemoteGeneration:
    """Written here or by the remote server, with what `POST /generate` refuses refused.

    Raises:
        AppError: as `prepare` of either.
    """
    if runtime.remote is not None:
        return await remote_generation.prepare(runtime, runtime.remote, body)
    return await generation.prepare(runtime, body)


async def _answered(
    runtime: Runtime,
    fields: Mapping[str, str],
    writing: generation.Generation | remote_generation.RemoteGeneration,
) -> Response:
    choices: Sequence[_Choice] = await writing.collect()
    texts = [
        Written(one.text, ENDINGS[one.finish_reason], None if writing.seed is None else writing.seed + index)
        for index, one in enumerate(choices)
    ]
    with runtime.database.read() as session:
        return render(_page(runtime, session, fields, texts=texts))


def _refused(runtime: Runtime, fields: Mapping[str, str], message: str, status: int) -> HTMLResponse:
    with runtime.database.read() as session:
        return render(_page(runtime, session, fields, refusal=message), status=status)


def _of_line(runtime: Runtime, session: Session, line: branches.Line, overruled: Mapping[str, str]) -> HTMLResponse:
    """The page of a kept text, its settings in the form but for those that the address overrules."""
    row = line.row
    said = {name: _written(value) for name, value in row.sampling.items() if value is not None}
    turns = [Message.model_validate(one) for one in line.asked.get("messages") or ()]
    asked = {"mode": "chat" if turns else "prompt", "prompt": line.asked.get("prompt") or ""}
    if turns:
        asked["prompt"] = turns.pop().content
    if turns and turns[0].role == "system":
        asked["system"] = turns.pop(0).content
    text = "".join(token["text"] for token in line.tokens)
    written = Written(text, ENDINGS[row.finish_reason], row.sampling.get("seed"))
    fields = filled(said | asked | {"model": row.model} | dict(overruled))
    return render(_page(runtime, session, fields, branch=row.id, turns=turns, texts=[written]))


def _page(runtime: Runtime, session: Session, fields: Mapping[str, str], **shown: Any) -> GeneratePage:
    settings = runtime.settings
    is_remote = settings.remote_url is not None
    infos = [] if is_remote else runtime.catalogue.list(session)
    names = [info.name for info in infos if info.writes and info.available]
    if (asked := fields["model"]) and asked not in names:
        names.append(asked)
    return GeneratePage(
        fields=fields,
        models=names,
        max_text_bytes=settings.max_text_bytes,
        is_remote=is_remote,
        **shown,
    )


def _written(value: object) -> str:
    """A setting as the form's field has it."""
    if isinstance(value, list):
        return "\n".join(str(one).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t") for one in value)
    return str(value)
