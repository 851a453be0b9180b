"""Where a person signs in with a key, so that the browser carries a session in place of it; and out again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from app.api.credentials import COOKIE, session_cookie
from app.api.deps import RuntimeDep
from app.api.pages.render import render
from app.api.wrong_keys import holder
from app.errors import RateLimited
from app.services.sessions import LIFETIME_S

router = APIRouter(prefix="/ui")


@dataclass(frozen=True)
class SignInPage:
    template: ClassVar[str] = "sign_in.html"
    place: ClassVar[str] = ""

    next: str
    refusal: str = ""


@router.get("/sign-in")
async def sign_in_form(runtime: RuntimeDep, request: Request) -> Response:
    """Show the form; where no key is required, there is nothing to do here."""
    if not runtime.settings.keys_required:
        return RedirectResponse("/", 303)
    return render(SignInPage(_own(request.query_params.get("next", ""))))


@router.post("/sign-in")
async def sign_in(runtime: RuntimeDep, request: Request) -> Response:
    """Begin a session for the key's holder, and go on to where they wanted."""
    if not runtime.settings.keys_required:
        return RedirectResponse("/", 303)
    form = await request.form()
    key, place = (str(form.get(name, "")) for name in ("key", "next"))
    page = SignInPage(_own(place))
    try:
        caller = await holder(request, key.strip())
    except RateLimited as error:
        refused = render(SignInPage(page.next, f"There were {error.message}."), status=error.status)
        refused.headers["Retry-After"] = str(error.retry_after_s)
        return refused
    if caller is None:
        return render(SignInPage(page.next, "That key is unknown, or revoked."), status=401)
    request.state.caller = caller  # for the audit log
    if not caller.may("read"):
        return render(SignInPage(page.next, "That key lacks the scope read, which pages need."), status=403)
    answer = RedirectResponse(page.next, 303)
    answer.set_cookie(
        COOKIE,
        runtime.sessions.begin(caller.key_id),
        max_age=LIFETIME_S,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",  # strict would ask whoever follows a link to sign in again
    )
    return answer


@router.post("/sign-out")
async def sign_out(runtime: RuntimeDep, request: Request) -> Response:
    """End the session, here and for whoever else has its cookie."""
    session = runtime.sessions.read(session_cookie(request) or "")
    if session is not None:
        await to_thread.run_sync(runtime.ended_sessions.end, session.id)
    answer = RedirectResponse("/ui/sign-in", 303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
    return answer


def _own(place: str) -> str:
    """A page of ours, whatever the address says; nobody is led elsewhere."""
    is_ours = place in ("/", "/docs") or place.startswith("/ui/")
    return place if is_ours and place.isascii() and place.isprintable() and "\\" not in place else "/"
