"""A model among its kin: the models it goes back to, one behind the other, and all that go on from it.

Ancestors are what was written down when the model was made, and may be gone; what goes on from it is there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.db.tables import job as job_table
from app.db.tables import job_list
from app.db.tables import model as model_table
from app.db.tables.model import ModelRow
from app.services.model_files import BUILT_IN
from app.services.model_info import ModelInfo

MOST = 100
"""Of those that go on from a model."""


@dataclass(frozen=True)
class Kin:
    """A model in the tree, and the job that made it."""

    name: str
    source: str  # builtin | import | job | checkpoint | gone
    is_there: bool
    job: str | None = None  # None: none made it, or it is gone
    recipe: str | None = None  # of that job
    is_adapter: bool = False
    children: list[Kin] = field(default_factory=list)


def tree(session: Session, model: ModelInfo) -> Kin:
    """The farthest ancestor of a model, below it the way down to the model, and below that all that go on from it."""
    by_base: dict[str, list[ModelRow]] = defaultdict(list)
    rows = model_table.newest_first(session)
    for row in reversed(rows):
        by_base[row.base_model or ""].append(row)
    left = [MOST]
    is_adapter = model.family == "adapter"
    below = _below(session, model.name, by_base, left)
    kin = Kin(model.name, model.source, True, *_job(session, model.job), is_adapter, below)
    ancestors = model.ancestors or ([{"name": model.base_model, "source": "gone"}] if model.base_model else [])
    names = {row.name for row in rows} | set(BUILT_IN)
    for one in ancestors:
        is_there = one["name"] in names or job_list.checkpoint_named(session, one["name"]) is not None
        kin = Kin(one["name"], one["source"], is_there, *_job(session, one.get("job")), children=[kin])
    return kin


def _below(session: Session, base: str, by_base: dict[str, list[ModelRow]], left: list[int]) -> list[Kin]:
    """What goes on from a model, and from that; a model is below one base alone, so that this ends."""
    found = []
    for row in by_base.pop(base, []):
        if left[0] == 0:
            break
        left[0] -= 1
        children = _below(session, row.name, by_base, left)
        is_adapter = row.family == "adapter"
        found.append(Kin(row.name, row.source, True, *_job(session, row.job_id), is_adapter, children))
    return found


def _job(session: Session, job_id: str | None) -> tuple[str | None, str | None]:
    row = None if job_id is None else job_table.get(session, job_id)
    return (None, None) if row is None else (row.id, row.recipe)
