"""The pages of training: all jobs with the form that starts one, and one job's own page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.deps import ReadSession, RuntimeDep
from app.api.pages.render import STYLED_POLICY, render
from app.errors import JobNotFound
from app.llm.config import PRESETS
from app.services import jobs

router = APIRouter(prefix="/ui/jobs", include_in_schema=False)


@dataclass(frozen=True)
class Preset:
    name: str
    about: str


@dataclass(frozen=True)
class JobsPage:
    template: ClassVar[str] = "jobs.html"
    place: ClassVar[str] = "jobs"

    default_tokenizer: str
    presets: tuple[Preset, ...]


@dataclass(frozen=True)
class JobPage:
    template: ClassVar[str] = "job.html"
    place: ClassVar[str] = "jobs"

    job_id: str
    name: str
    status: str


@dataclass(frozen=True)
class MissingPage:
    template: ClassVar[str] = "error.html"
    place: ClassVar[str] = ""

    title: str
    message: str
    way_out: str
    way_out_name: str


@router.get("")
def job_list(runtime: RuntimeDep) -> HTMLResponse:
    """Show all jobs, and the form that starts one."""
    presets = tuple(
        Preset(name, f"{shape['n_layers']} layers of {shape['emb_dim']}, context {shape['context_length']}")
        for name, shape in PRESETS.items()
    )
    return render(JobsPage(runtime.settings.default_tokenizer, presets))


@router.get("/{job_id}")
def job(job_id: str, session: ReadSession) -> HTMLResponse:
    """Show one job live; a page that says so where there is none of that name."""
    try:
        found = jobs.read(session, job_id)
    except JobNotFound as error:
        missing = MissingPage("No such job", f"{error.message}.", "/ui/jobs", "All jobs")
        return render(missing, status=404)
    return render(JobPage(found.id, found.name, found.status), policy=STYLED_POLICY)
