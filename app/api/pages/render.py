"""From a context to an HTML answer: templates, and the policy that holds a page to its own host. Knows no page.

What every answer carries beside it is in `app/api/safe_headers.py`.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import ClassVar, Protocol

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).resolve().parents[3] / "templates"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; connect-src 'self'; img-src 'self' data: blob:; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
STRICT_POLICY = _POLICY.format(styles="")
STYLED_POLICY = _POLICY.format(styles=" 'unsafe-inline'")
"""For pages with Plotly or Swagger UI, which write style attributes."""

csrf: ContextVar[str] = ContextVar("csrf", default="")
"""What shows that a request comes from a page: of the request's session, "" where it has none. Set at the door."""

_templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals["csrf"] = csrf.get
_templates.globals["csrf_query"] = lambda: f"?csrf={csrf.get()}" if csrf.get() else ""  # of a form's address


class PageContext(Protocol):
    """What a template may show, and which template that is."""

    template: ClassVar[str]
    place: ClassVar[str]
    """The entry of the navigation that is marked as current; "" for none."""


def render(page: PageContext, *, status: int = 200, policy: str = STRICT_POLICY) -> HTMLResponse:
    """The page as an answer; the browser asks for it again each time, and runs nothing that is not ours."""
    headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
    return HTMLResponse(_templates.get_template(page.template).render(page=page), status, headers)
