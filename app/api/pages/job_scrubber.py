"""A prompt that stays while one drags along a job's checkpoints: where one may stop, and what the address asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import BaseModel

from app.api.pages.checkpoint_reading import Seen
from app.db.session import Session
from app.db.tables.job import JobRow
from app.services import first_words, jobs
from app.services.storage import Storage

Kind = Literal["text", "chat", "classes"]
KINDS: dict[str, Kind] = {"pretrain": "text", "instruct": "chat", "dpo": "chat", "classify": "classes"}
"""How each recipe's checkpoints are asked; those of the others are not."""
MOST_EVENTS = 10_000
MOST_CHARACTERS = 400


class Asked(BaseModel):
    """What the address says, as it was typed."""

    step: str = ""
    prompt: str = ""
    layer: str = ""
    head: str = ""
    plain: str | None = None
    """There where a form was sent without JavaScript: the server is to show what a script would."""


@dataclass(frozen=True)
class Stop:
    """A step at which a checkpoint was saved."""

    step: int
    model: str | None
    """Its name as a model; None: it is no longer kept."""


@dataclass(frozen=True)
class Scrubber:
    kind: Kind
    first_prompt: str
    sample_tokens: int
    kept: str
    """Which checkpoints of the job stay, in words."""
    stops: Sequence[Stop]
    asked: Asked
    sample: str | None = None
    """What the job itself wrote at the stop, of its own prompt."""
    seen: Seen | None = None
    """What is shown without script."""
    refused: str = ""

    @property
    def prompt(self) -> str:
        return self.asked.prompt or self.first_prompt

    @property
    def stop(self) -> Stop | None:
        """The one that the address names, else the last one."""
        named = [stop for stop in self.stops if str(stop.step) == self.asked.step.strip()]
        return next(iter(named), self.stops[-1] if self.stops else None)


def of_job(session: Session, storage: Storage, job: JobRow, asked: Asked) -> Scrubber | None:
    """The stops of a job's checkpoints; None for recipes whose checkpoints take no prompt."""
    kind = KINDS.get(job.recipe)
    if kind is None:
        return None
    names: dict[int, str | None] = {row.step: row.id for row in jobs.checkpoints(session, job.id)}
    saved, _ = jobs.events(session, job.id, 0, MOST_EVENTS, ["checkpoint"])
    stops = [Stop(step, names.get(step)) for step in sorted({*names, *(one.data["step"] for one in saved)})]
    newest, is_best_kept = job.train.get("keep_checkpoints"), job.train.get("keep_best")
    made = Scrubber(
        kind=kind,
        first_prompt=first_words.of_job(session, storage, job),
        sample_tokens=job.train.get("sample_tokens") or 40,
        kept=f"the newest {newest}" + (" and the best one" if is_best_kept else ""),
        stops=stops,
        asked=asked,
    )
    if asked.plain is None or made.stop is None or made.prompt != made.first_prompt:
        return made
    return _with_sample(session, job, made, made.stop.step)


def _with_sample(session: Session, job: JobRow, made: Scrubber, step: int) -> Scrubber:
    written, _ = jobs.events(session, job.id, 0, MOST_EVENTS, ["sample"])
    texts = [one.data["text"] for one in written if one.data["step"] == step]
    return replace(made, sample=texts[-1] if texts else None)
