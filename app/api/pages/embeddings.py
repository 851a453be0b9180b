"""The page of vectors: nearest tokens, a map, an analogy. Without JavaScript its form is answered with lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import ValidationError

from app.api.deps import RuntimeDep
from app.api.pages.embedding_form import DEFAULTS, SHOWS, Show, analogy_of, filled, rows_of
from app.api.pages.render import STYLED_POLICY, render
from app.api.pieces import LongWorkDep
from app.errors import AppError
from app.llm.config import ClassifierConfig, ModelConfig, NetworkConfig, Word2VecConfig
from app.services import analogy, datasets, embeddings, vector_tables
from app.services.runtime import Runtime

router = APIRouter(include_in_schema=False)

MOST_CHOICES = 1000


@dataclass(frozen=True)
class ModelChoice:
    """A model to choose; `positions` is how many its table of positions has, `dataset` what it learnt from."""

    name: str
    about: str
    available: bool = True
    tokenizer: str = ""
    positions: int | None = None
    dataset: str = ""


@dataclass(frozen=True)
class DatasetChoice:
    id: str
    name: str


@dataclass(frozen=True)
class Near:
    name: str
    score: float


@dataclass(frozen=True)
class Line:
    """A row, or a sum of rows, and what lies near it."""

    name: str
    about: str
    near: Sequence[Near]


@dataclass(frozen=True)
class EmbeddingsPage:
    template: ClassVar[str] = "embeddings.html"
    place: ClassVar[str] = "embeddings"
    shows: ClassVar[tuple[Show, ...]] = SHOWS

    fields: Mapping[str, str]
    """What stands in the form, by name."""
    defaults: Mapping[str, str]
    models: Sequence[ModelChoice]
    datasets: Sequence[DatasetChoice]
    lines: Sequence[Line] = field(default_factory=list)
    """What a browser without JavaScript asked for."""
    refusal: str = ""


@router.get("/ui/embeddings")
async def show(request: Request, runtime: RuntimeDep, long_work: LongWorkDep) -> HTMLResponse:
    """Show the form as the address fills it; with `plain`, as a form without script sends it, also what it asks for."""
    page = await to_thread.run_sync(_page, runtime, dict(request.query_params))
    if "plain" not in request.query_params:
        return render(page, policy=STYLED_POLICY)
    try:
        lines = await _lines(runtime, page, long_work)
    except AppError as error:
        return render(_with(page, refusal=error.message), status=error.status, policy=STYLED_POLICY)
    except ValidationError as error:
        first = error.errors()[0]
        told = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        return render(_with(page, refusal=told), status=422, policy=STYLED_POLICY)
    return render(_with(page, lines=lines), policy=STYLED_POLICY)


async def _lines(runtime: Runtime, page: EmbeddingsPage, long_work: LongWorkDep) -> list[Line]:
    fields = page.fields
    if fields["show"] == "analogy":
        asked = analogy_of(fields)
        tables = await vector_tables.of_model(runtime, asked.model)
        solved = await to_thread.run_sync(analogy.solve, asked, tables, limiter=long_work)
        sign = {1: "+", -1: "−"}
        terms = " ".join(f"{sign[term.sign]} {term.text.strip()}" for term in solved.terms)
        return [Line(terms.removeprefix("+ "), "", [Near(one.text or "", one.score) for one in solved.neighbours])]
    positions = next(model.positions for model in page.models if model.name == fields["model"])
    wanted = rows_of(fields, positions)
    opened = await embeddings.open_model(runtime, wanted)
    found = await to_thread.run_sync(embeddings.look_up, runtime, wanted, opened, limiter=long_work)
    about = found.about
    names = about["texts"] or [f"position {place}" for place in about["ids"]]
    counts = about["counts"] or [None] * len(names)
    return [
        Line(name, f"id {token_id}" + (f", {count:,} times" if count else ""), [_near(one) for one in near])
        for name, token_id, count, near in zip(names, about["ids"], counts, about["neighbours"], strict=True)
    ]


def _near(one: Mapping[str, object]) -> Near:
    name = one["id"] if one["text"] is None else one["text"]
    return Near(str(name), float(str(one["score"])))


def _page(runtime: Runtime, given: Mapping[str, str]) -> EmbeddingsPage:
    defaults = DEFAULTS | {"model": runtime.settings.default_model}
    fields = filled(defaults, given)
    with runtime.database.read() as session:
        infos, _ = runtime.catalogue.page(session, None, MOST_CHOICES)
        sets, _ = datasets.page(session, None, MOST_CHOICES)
    models = [
        ModelChoice(
            info.name,
            _about(info.config) if info.available else "not on this machine",
            info.available,
            info.tokenizer,
            _positions(info.config),
            info.datasets[0]["dataset"] if info.datasets else "",
        )
        for info in infos
    ]
    if fields["model"] not in {model.name for model in models}:
        models.append(ModelChoice(fields["model"], "checkpoint" if "@" in fields["model"] else "not in the list"))
    choices = [DatasetChoice(row.id, row.name) for row in sets]
    learnt_from = next(model.dataset for model in models if model.name == fields["model"])
    if "dataset" not in given and learnt_from in {choice.id for choice in choices}:
        fields["dataset"] = learnt_from
    return EmbeddingsPage(fields, defaults, models, choices)


def _with(page: EmbeddingsPage, lines: Sequence[Line] = (), refusal: str = "") -> EmbeddingsPage:
    return EmbeddingsPage(page.fields, page.defaults, page.models, page.datasets, lines, refusal)


def _about(config: NetworkConfig) -> str:
    """What kind of model it is, where it is no usual one, and how many vectors of how many numbers it has."""
    if isinstance(config, Word2VecConfig):
        return f"word vectors, {config.vocab_size:,} × {config.emb_dim}"
    body = config if isinstance(config, ModelConfig) else config.body
    kind = "a classifier, " if isinstance(config, ClassifierConfig) else ""
    return f"{kind}{body.vocab_size:,} × {body.emb_dim}"


def _positions(config: NetworkConfig) -> int | None:
    if isinstance(config, Word2VecConfig):
        return None
    body = config if isinstance(config, ModelConfig) else config.body
    return body.context_length if body.position == "learned" else None
