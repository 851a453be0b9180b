"""A step that trains: a job with settings that come with the service, and the losses of the book's own run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.api.pages.lessons.ask import Request, put
from app.api.pages.lessons.book import BOOK
from app.api.pages.lessons.field import Field


@dataclass(frozen=True)
class Run:
    """A way to run the job, and the part of the request that says so."""

    label: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Trace:
    """The losses of the book's own run: [step, training loss, validation loss, …]; `offset` steps later in ours."""

    fact: str
    about: str
    part: str = ""
    offset: int = 0

    @property
    def rows(self) -> list[list[float]]:
        found: Any = BOOK[self.fact]["expected"]
        rows: list[list[float]] = found[self.part] if self.part else found
        return [row[:3] for row in rows]


@dataclass(frozen=True)
class Train:
    """A job that the reader begins: how, and from which dataset and model of this machine. Or an evaluation."""

    recipe: str
    runs: tuple[Run, ...]
    own_fields: tuple[Field, ...]
    button: str
    trace: Trace | None = None

    @property
    def is_estimated(self) -> bool:
        """What it would take can be asked first; an evaluation trains nothing."""
        return self.recipe != "evaluate"

    @property
    def fields(self) -> tuple[Field, ...]:
        runs = tuple((number, run.label) for number, run in enumerate(self.runs))
        return (Field("run", "How", 0, "choice", choices=runs), *self.own_fields)

    def request(self, texts: Mapping[str, str]) -> Request:
        """The job that is asked for where `texts`, by name, stand in the fields.

        Raises:
            Unreadable: there is no such run.
        """
        how, *others = self.fields
        run = self.runs[how.read(texts.get(how.name, how.written))]
        body = json.loads(json.dumps({"recipe": self.recipe, **run.body}))
        for each in others:
            if (value := each.read(texts.get(each.name, each.written))) is not None:
                put(body, each.name, value)
        return Request("/jobs", "POST", body)

    @property
    def told(self) -> dict[str, Any]:
        """What the page's script needs to know."""
        trace = self.trace
        return {
            "recipe": self.recipe,
            "runs": [run.body for run in self.runs],
            "trace": None if trace is None else {**vars(trace), "rows": trace.rows},
        }
