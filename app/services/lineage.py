"""Where a model comes from, written down when it is made: later the datasets, jobs and models may be gone.

A link of the chain is one ancestor: a model that ships, an imported one, one that a job made, or a checkpoint.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import dataset as dataset_table
from app.db.tables import job as job_table
from app.db.tables import model as model_table
from app.db.tables.job import JobRow
from app.db.tables.model import ModelRow
from app.services.model_files import BUILT_IN

Link = dict[str, Any]
MAX_LINKS = 64


def datasets_of(session: Session, job: JobRow) -> list[dict[str, Any]]:
    """The texts that a job learns from: id, name, hash, and share; of a text that is gone, what the job remembers."""
    found = []
    for entry in job.datasets:
        row = dataset_table.get(session, entry["dataset"])
        known = {"name": row.name, "sha256": row.sha256} if row is not None else {"name": None, "sha256": None}
        found.append({"dataset": entry["dataset"], "weight": entry["weight"]} | known)
    return found


def ancestors_of(session: Session, base: str | None) -> list[Link]:
    """The chain of models behind one that went on from `base`, nearest first; none where it began anew."""
    chain: list[Link] = []
    while base is not None and len(chain) < MAX_LINKS:
        if base in BUILT_IN:
            shipped = BUILT_IN[base]
            return [*chain, _link(base, "builtin", sha256=shipped.sha256, licence=shipped.licence)]
        row = model_table.get(session, base)
        if row is not None:
            return [*chain, _of_row(row), *row.ancestors][:MAX_LINKS]
        job = job_table.get(session, base.rpartition("@")[0])
        if job is None:
            return [*chain, _link(base, "gone")]
        chain.append(_link(base, "checkpoint", job=job.id, datasets=datasets_of(session, job)))
        base = job.model.get("name")
    return chain


def _of_row(row: ModelRow) -> Link:
    known = {"job": row.job_id, "datasets": row.datasets, "origin": row.origin}
    return _link(row.name, row.source, sha256=row.sha256, licence=row.licence, **known)


def _link(name: str, source: str, **known: Any) -> Link:
    empty: Link = {"sha256": None, "job": None, "datasets": [], "origin": None, "licence": None}
    return {"name": name, "source": source} | empty | known
