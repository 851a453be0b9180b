"""At the door: whose request this is, by its key or its page's session, and whether it may. Where no keys are required
it is not there."""

from __future__ import annotations

from urllib.parse import quote

from anyio import to_thread
from fastapi import Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.credentials import bearer, check_csrf, session_cookie
from app.api.errors import app_error_body, database_away
from app.api.pages.render import csrf
from app.api.scopes import needed
from app.api.wrong_keys import holder
from app.db.session import UNAVAILABLE
from app.errors import AppError, InvalidApiKey, MissingScope
from app.services.keys import Caller
from app.services.keys import Scope as KeyScope
from app.services.runtime import Runtime

REALM = 'Bearer realm="inkling"'
SIGN_IN = "/ui/sign-in"


class KeyCheck:
    """Around the routes: without a key 401, with one that lacks the scope 403, before the body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (wanted := needed(scope["method"], scope["path"])) is None:
            return await self._app(scope, receive, send)
        request = Request(scope)
        try:
            caller, token = await _caller(request)
            scope.setdefault("state", {})["caller"] = caller
            if not caller.may(wanted):
                raise MissingScope(f"this needs a key with the scope {wanted}")
        except AppError as refusal:
            return await _refused(request, refusal, wanted)(scope, receive, send)
        except UNAVAILABLE as error:
            return await (await database_away(request, error))(scope, receive, send)
        before = csrf.set(token)
        try:
            await self._app(scope, receive, send)
        finally:
            csrf.reset(before)


async def _caller(request: Request) -> tuple[Caller, str]:
    """Whose request it is, and the token that its session's pages carry.

    Raises:
        InvalidApiKey: nobody's that we know.
        RateLimited: too many of this address were nobody's.
        ForeignRequest: a session's, and it does not come from a page.
    """
    runtime: Runtime = request.app.state.runtime
    keys = runtime.keys
    sent = [value for name, value in request.scope["headers"] if name == b"authorization"]
    if sent:
        caller = await holder(request, bearer(sent))
        if caller is None:
            raise InvalidApiKey("the key is unknown, or revoked")
        return caller, ""
    cookie = session_cookie(request)
    if cookie is None:
        raise InvalidApiKey("no key was sent; it goes into the header Authorization: Bearer KEY")
    session = runtime.sessions.read(cookie)
    if session is None:
        raise InvalidApiKey("the session is over; sign in again")
    ended = runtime.ended_sessions
    if not ended.is_known_to_go_on(session.id) and not await to_thread.run_sync(ended.goes_on, session.id):
        raise InvalidApiKey("the session was signed out of; sign in again")
    caller = keys.recall_id(session.key_id) or await to_thread.run_sync(keys.look_up_id, session.key_id)
    if caller is None:
        raise InvalidApiKey("the session's key is revoked; sign in again")
    check_csrf(request, session.csrf)
    return caller, session.csrf


def _refused(request: Request, refusal: AppError, wanted: KeyScope) -> Response:
    if isinstance(refusal, InvalidApiKey) and _is_page(request):
        back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        asked = f"?next={quote(back)}" if request.method == "GET" and back != "/" else ""
        return RedirectResponse(SIGN_IN + asked, 303)
    headers = {}
    if isinstance(refusal, InvalidApiKey):
        headers["WWW-Authenticate"] = REALM
    if isinstance(refusal, MissingScope):
        headers["WWW-Authenticate"] = f'{REALM}, error="insufficient_scope", scope="{wanted}"'
    if refusal.retry_after_s is not None:
        headers["Retry-After"] = str(refusal.retry_after_s)
    return JSONResponse(app_error_body(refusal), refusal.status, headers)


def _is_page(request: Request) -> bool:
    """A browser asks for one to show, and not a script of one."""
    place = request.url.path
    is_page = place in ("/", "/docs") or place.startswith("/ui/")
    return is_page and "text/html" in request.headers.get("accept", "")
