"""The pages of jobs: all of them, and each one's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from app.api.answering import whole
from app.api.deps import ReadSession, RuntimeDep
from app.api.held import Places, PlacesDep
from app.api.pages import checkpoint_reading, job_scrubber
from app.api.pages.job_scrubber import Scrubber
from app.api.pages.render import STYLED_POLICY, render
from app.errors import AppError, JobNotFound
from app.services import jobs
from app.services.runtime import Runtime

router = APIRouter(prefix="/ui/jobs", include_in_schema=False)


OF_THE_FORM = ("recipe", "kind", "dataset", "model")
"""What an address of this page may say from when the form stood here."""


@dataclass(frozen=True)
class JobsPage:
    template: ClassVar[str] = "jobs.html"
    place: ClassVar[str] = "train"


@dataclass(frozen=True)
class JobPage:
    template: ClassVar[str] = "job.html"
    place: ClassVar[str] = "train"
    measures: ClassVar[bool] = False

    job_id: str
    name: str
    status: str
    scrubber: Scrubber | None = None
    """None where its checkpoints take no prompt."""


@dataclass(frozen=True)
class MeasuringPage(JobPage):
    """Of an evaluation, which trains nothing."""

    template: ClassVar[str] = "measuring.html"
    measures: ClassVar[bool] = True


@dataclass(frozen=True)
class MissingPage:
    template: ClassVar[str] = "error.html"
    place: ClassVar[str] = ""

    title: str
    message: str
    way_out: str
    way_out_name: str

    @classmethod
    def of(cls, title: str, error: AppError, way_out: str, way_out_name: str) -> MissingPage:
        """What the error says, up to where it tells which route lists the others: the way out is here."""
        return cls(title, f"{error.message.partition(';')[0]}.", way_out, way_out_name)


@router.get("")
async def job_list(request: Request) -> Response:
    """Show all jobs. An address that fills the form leads to where that stands."""
    if any(name in request.query_params for name in OF_THE_FORM):
        return RedirectResponse(f"/ui/train?{request.url.query}", status_code=301)
    return render(JobsPage())


def _page(
    job_id: str, session: ReadSession, runtime: RuntimeDep, asked: Annotated[job_scrubber.Asked, Query()]
) -> JobPage | MissingPage:
    try:
        found = jobs.read(session, job_id)
    except JobNotFound as error:
        return MissingPage.of("No such job", error, "/ui/jobs", "All jobs")
    scrubber = job_scrubber.of_job(session, runtime.storage, found, asked)
    page = MeasuringPage if found.recipe == "evaluate" else JobPage
    return page(found.id, found.name, found.status, scrubber)


@router.get("/{job_id}")
async def job(
    request: Request, runtime: RuntimeDep, places: PlacesDep, page: Annotated[JobPage | MissingPage, Depends(_page)]
) -> Response:
    """Show one job live; a page that says so where there is none of that name. Without script, one checkpoint of it."""
    if isinstance(page, MissingPage):
        return render(page, status=404)
    scrubber = page.scrubber
    if scrubber is None or scrubber.asked.plain is None or scrubber.stop is None or scrubber.stop.model is None:
        return render(page, policy=STYLED_POLICY)
    model = scrubber.stop.model
    return await whole(request, lambda: _read(runtime, places, page, scrubber, model))


async def _read(runtime: Runtime, places: Places, page: JobPage, scrubber: Scrubber, model: str) -> HTMLResponse:
    """The page with what one checkpoint makes of the prompt."""
    status = 200
    try:
        if scrubber.kind == "classes":
            seen = await checkpoint_reading.classes(runtime, places, model, scrubber.prompt)
        else:
            prompt, is_chat, most = scrubber.prompt, scrubber.kind == "chat", scrubber.sample_tokens
            seen = await checkpoint_reading.text(runtime, places, model, prompt, is_chat, scrubber.sample, most)
        scrubber = replace(scrubber, seen=seen)
    except AppError as error:
        status, scrubber = error.status, replace(scrubber, refused=error.message)
    return render(replace(page, scrubber=scrubber), status=status, policy=STYLED_POLICY)
