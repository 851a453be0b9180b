"""A step that asks: a request to this service, what of it the reader may change, what should come out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from app.api.pages.lessons.book import Check
from app.api.pages.lessons.field import Field

Method = Literal["GET", "POST"]


@dataclass(frozen=True)
class Request:
    path: str
    method: Method
    body: dict[str, Any]

    @property
    def command(self) -> str:
        """It for a shell, of a service at its usual address."""
        start = f"curl -s 'http://127.0.0.1:8000{self.path}'"
        if self.method == "GET":
            return start
        body = json.dumps(self.body, ensure_ascii=False).replace("'", "'\\''")
        return f"{start} \\\n  -H 'content-type: application/json' \\\n  -d '{body}'"


@dataclass(frozen=True)
class Only:
    """When the book's numbers say something: where the answer has `value` at `at`; else `otherwise` is told."""

    at: str
    value: Any
    otherwise: str


@dataclass(frozen=True)
class Ask:
    """A request that the reader sends. `view` names the picture that is drawn of the answer."""

    path: str
    button: str
    body: dict[str, Any] = field(default_factory=dict)
    fields: tuple[Field, ...] = ()
    checks: tuple[Check, ...] = ()
    reason: str = ""
    """Why the numbers should agree, and how far they may not."""
    view: str = ""
    method: Method = "POST"
    only: Only | None = None

    def request(self, texts: Mapping[str, str]) -> Request:
        """What is sent where `texts`, by name, stand in the fields, and the book's values in the others.

        Raises:
            Unreadable: one of them is not of its field's kind.
        """
        path, body = self.path, json.loads(json.dumps(self.body))
        for each in self.fields:
            text = texts.get(each.name, each.written)
            if f"{{{each.name}}}" in path:
                path = path.replace(f"{{{each.name}}}", quote(text, safe=""))
            elif (value := each.read(text)) is not None:
                put(body, each.name, value)
        return Request(path, self.method, body)

    @property
    def told(self) -> dict[str, Any]:
        """What the page's script needs to know."""
        return {
            "path": self.path,
            "method": self.method,
            "body": self.body,
            "view": self.view,
            "only": None if self.only is None else dict(vars(self.only)),
            "checks": [check.told for check in self.checks],
        }


def put(body: dict[str, Any], name: str, value: Any) -> None:
    """Set what `name`, a path with dots, leads to; a number in it is a place in a list that is there."""
    *way, last = name.split(".")
    place: Any = body
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    place[last] = value
