"""What a lesson is made of: a chapter's steps. Their prose stands in `templates/lessons/`, a macro for each."""

from __future__ import annotations

import json
from dataclasses import dataclass

from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.train import Train


@dataclass(frozen=True)
class See:
    """A page of this service with more of the same."""

    address: str
    label: str


@dataclass(frozen=True)
class Step:
    id: str
    """Also the name of its prose's macro."""
    title: str
    section: str
    """Of the book."""
    does: Ask | Train
    see: tuple[See, ...] = ()

    @property
    def is_job(self) -> bool:
        return isinstance(self.does, Train)

    @property
    def data(self) -> str:
        """What the page's script needs to know, as JSON."""
        return json.dumps(self.does.told)


@dataclass(frozen=True)
class Chapter:
    number: int
    title: str
    lead: str
    steps: tuple[Step, ...]
