"""The lessons: a page for each chapter of the book, and one of all.

The browser fetches what they compute. Without script a step's form is sent here; the page comes back with the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from app.api.credentials import credentials
from app.api.deps import ReadSession, RuntimeDep
from app.api.pages.jobs import MissingPage
from app.api.pages.lessons import CHAPTERS, own_api
from app.api.pages.lessons.book import Check
from app.api.pages.lessons.field import Unreadable
from app.api.pages.lessons.offers import Offers
from app.api.pages.lessons.panel import Answered, Panel, answered, panel
from app.api.pages.lessons.step import Chapter, Step
from app.api.pages.render import render
from app.services.runtime import Runtime

router = APIRouter(prefix="/ui/learn", include_in_schema=False)


@dataclass(frozen=True)
class LearnPage:
    template: ClassVar[str] = "learn.html"
    place: ClassVar[str] = "learn"
    chapters: ClassVar[tuple[Chapter, ...]] = CHAPTERS


@dataclass(frozen=True)
class LessonPage:
    template: ClassVar[str] = "lesson.html"
    place: ClassVar[str] = "learn"

    chapter: Chapter
    panels: tuple[Panel, ...]

    @property
    def before(self) -> Chapter | None:
        place = CHAPTERS.index(self.chapter)
        return CHAPTERS[place - 1] if place else None

    @property
    def after(self) -> Chapter | None:
        return next(iter(CHAPTERS[CHAPTERS.index(self.chapter) + 1 :]), None)

    @property
    def prose(self) -> str:
        """The template with a macro for each step."""
        return f"lessons/chapter_{self.chapter.number}.html"

    def book(self, fact: str, part: str = "", **style: Any) -> Any:
        """A number of the book's as the prose says it."""
        return Check("", "", fact, part, **({"style": "count"} | style)).book


@router.get("")
def learn() -> HTMLResponse:
    """Show all chapters, and how far the reader is."""
    return render(LearnPage())


@router.get("/{chapter}")
def lesson(chapter: str, runtime: RuntimeDep, session: ReadSession) -> HTMLResponse:
    """Show one chapter; a page that says so where there is none of that number."""
    found = _asked_for(chapter)
    if found is None:
        return _missing()
    return render(page_of(found, Offers.of_machine(runtime, session)))


def page_of(chapter: Chapter, offers: Offers) -> LessonPage:
    """A chapter on a machine that has these to offer, with nothing done yet."""
    return LessonPage(chapter, tuple(panel(step, offers) for step in chapter.steps))


@router.get("/{chapter}/{step}")
def step_of(chapter: str, step: str) -> Response:
    """Lead to the step in its chapter: here forms without script arrive, and their address is asked for again."""
    found = _asked_for(chapter)
    if found is None or _step(found, step) is None:
        return _missing()
    return RedirectResponse(f"/ui/learn/{found.number}#{step}", 303)


@router.post("/{chapter}/{step}")
async def try_step(chapter: str, step: str, request: Request, runtime: RuntimeDep) -> Response:
    """Do a step of which no script took care: the chapter's page with the answer, or the job's page once it began."""
    found = _asked_for(chapter)
    asked = None if found is None else _step(found, step)
    if found is None or asked is None:
        return _missing()
    form = await request.form()
    texts = {name: value for name, value in form.items() if isinstance(value, str)}
    is_start = asked.is_job and texts.get("do") == "start"
    try:
        answer = await _answer(request, asked, texts, is_start)
    except Unreadable as error:
        return await _page(runtime, found, asked, texts, Answered(str(error)), 422)
    except own_api.Refused as error:
        return await _page(runtime, found, asked, texts, Answered(str(error)), error.status)
    if is_start:
        return RedirectResponse(f"/ui/jobs/{answer['id']}", 303)
    return await _page(runtime, found, asked, texts, answered(asked, texts, answer), 200)


async def _answer(request: Request, step: Step, texts: Mapping[str, str], is_start: bool) -> Any:
    sent = step.does.request(texts)
    if step.is_job and not is_start:
        sent = replace(sent, path="/jobs/estimate")
    return await own_api.ask(request.app, sent, credentials(request), request.client)


async def _page(
    runtime: Runtime, chapter: Chapter, tried: Step, texts: Mapping[str, str], brought: Answered, status: int
) -> HTMLResponse:
    def panels() -> tuple[Panel, ...]:
        with runtime.database.read() as session:
            offers = Offers.of_machine(runtime, session)
        return tuple(
            panel(step, offers, texts, brought) if step is tried else panel(step, offers) for step in chapter.steps
        )

    return render(LessonPage(chapter, await to_thread.run_sync(panels)), status=status)


def _asked_for(number: str) -> Chapter | None:
    return _chapter(int(number)) if number.isdecimal() and len(number) < 4 else None


def _chapter(number: int) -> Chapter | None:
    return next((chapter for chapter in CHAPTERS if chapter.number == number), None)


def _step(chapter: Chapter, name: str) -> Step | None:
    return next((step for step in chapter.steps if step.id == name), None)


def _missing() -> HTMLResponse:
    told = f"The lessons go from chapter {CHAPTERS[0].number} to {CHAPTERS[-1].number}."
    return render(MissingPage("No such chapter or step", told, "/ui/learn", "All lessons"), status=404)
