"""A step as its form shows it: what stands in the fields, and, of a form that was sent, what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.book import Compared, at
from app.api.pages.lessons.field import Field, Unreadable
from app.api.pages.lessons.offers import Offers, Option
from app.api.pages.lessons.step import Step
from app.services.public_sets import SETS, PublicSet

MOST_SHOWN = 20_000
"""Characters of an answer, on a page without script."""
OTHER_VALUES = "Other values than the book's: its numbers say nothing about these."
DIFFERS = "Another version of torch, or another kind of processor, may draw or round otherwise."


@dataclass(frozen=True)
class Answered:
    """What a form without script brought: a refusal, or an answer beside the book's numbers."""

    refusal: str = ""
    text: str = ""
    compared: tuple[Compared, ...] = ()
    verdict: str = ""
    is_compared: bool = False
    """The book's numbers are about what was asked."""


@dataclass(frozen=True)
class Panel:
    step: Step
    texts: Mapping[str, str]
    offers: Offers
    answered: Answered | None = None

    @property
    def command(self) -> str:
        try:
            return self.step.does.request(self.texts).command
        except Unreadable as error:
            return str(error)

    @property
    def can_run(self) -> bool:
        """Each field that offers something of this machine has something to offer."""
        return all(self.options(field) for field in self.step.does.fields if field.is_offered)

    @property
    def missing(self) -> list[PublicSet]:
        """Sets that the book works with and that are not here."""
        names = {self.offers.missing(field) for field in self.step.does.fields}
        return [one for one in SETS if one.name in names]

    def options(self, field: Field) -> list[Option]:
        return self.offers.options(field)


def panel(
    step: Step, offers: Offers, texts: Mapping[str, str] | None = None, answered: Answered | None = None
) -> Panel:
    """The step with what stands in its fields at first, or what was sent of it."""
    first = {field.name: offers.value(field) for field in step.does.fields}
    sent = {name: text for name, text in (texts or {}).items() if name in first}
    return Panel(step, first | sent, offers, answered)


def answered(step: Step, texts: Mapping[str, str], answer: Any) -> Answered:
    """An answer, its numbers beside the book's where these say anything about it."""
    text = json.dumps(answer, ensure_ascii=False, indent=1)
    text = text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} …"
    does = step.does
    if not isinstance(does, Ask) or not does.checks:
        return Answered(text=text)
    compared = tuple(check.compare(answer) for check in does.checks)
    is_books = all(
        field.is_offered or texts.get(field.name, field.written).replace("\r\n", "\n") == field.written
        for field in does.fields
    )
    only = does.only
    if not is_books or (only is not None and at(answer, only.at) != only.value):
        return Answered("", text, compared, only.otherwise if is_books and only is not None else OTHER_VALUES)
    return Answered("", text, compared, _verdict(compared), True)


def _verdict(compared: tuple[Compared, ...]) -> str:
    total, off = sum(one.total for one in compared), sum(one.off for one in compared)
    values = f"{total} value{'' if total == 1 else 's'}"
    if off:
        return f"✗ Differs from the book in {off} of {values}. {DIFFERS}"
    return f"✓ The same as the book: {total} of {values}."
