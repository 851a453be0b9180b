"""What a request shows of who sends it: a key in its header, or the session of a page."""

from __future__ import annotations

import hmac
import re

from fastapi import Request

from app.errors import ForeignRequest, InvalidApiKey

COOKIE = "inkling_session"
CSRF_HEADER = "x-csrf-token"
CSRF_QUERY = "csrf"
"""For forms that are sent without script: where its token stands in the address."""
SAFE = ("GET", "HEAD")
SHOWN = ("authorization", "cookie", CSRF_HEADER)

_BEARER = re.compile(rb"bearer +([!-~]{1,200})", re.IGNORECASE)


def bearer(sent: list[bytes]) -> str:
    """The key of the headers Authorization.

    Raises:
        InvalidApiKey: there is not one of them, or it is of another form.
    """
    found = _BEARER.fullmatch(sent[0].strip()) if len(sent) == 1 else None
    if found is None:
        raise InvalidApiKey("the header Authorization is to come once, as Bearer KEY")
    return found[1].decode("ascii")


def session_cookie(request: Request) -> str | None:
    return request.cookies.get(COOKIE)


def check_csrf(request: Request, csrf: str) -> None:
    """Refuse what another site may have a browser send: it sends the session, and cannot know the token.

    Raises:
        ForeignRequest: it changes something and does not show the token.
    """
    if request.method in SAFE:
        return
    shown = request.headers.get(CSRF_HEADER) or request.query_params.get(CSRF_QUERY, "")
    if not hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), csrf.encode()):
        raise ForeignRequest("this did not come from a page that is signed in; open the page again")


def credentials(request: Request) -> dict[str, str]:
    """The headers that show the same, for a request sent in its name."""
    found = {name: request.headers[name] for name in SHOWN if name in request.headers}
    if CSRF_QUERY in request.query_params:
        found[CSRF_HEADER] = request.query_params[CSRF_QUERY]
    return found
