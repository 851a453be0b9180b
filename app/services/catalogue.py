"""What models there are, and what is known of each: those that ship, those registered, and jobs' checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from app.config import Settings
from app.db.tables import job as job_table
from app.db.tables import model as model_table
from app.errors import CheckpointNotFound, ModelNotFound
from app.services import lineage, model_files, model_info
from app.services.model_files import BUILT_IN
from app.services.model_info import ModelInfo
from app.services.models import Models
from app.services.storage import MODEL_NAME, Storage


class Catalogue:
    """All that can be named as a model. Reads rows and files; loads nothing."""

    def __init__(self, settings: Settings, storage: Storage, models: Models) -> None:
        self._default, self._storage, self._models = settings.default_model, storage, models

    def list(self, session: Session) -> list[ModelInfo]:
        """All models, the default one first, then those that ship, then the newest. Checkpoints are their job's."""
        infos = [model_info.of_built_in(self._storage, one) for one in BUILT_IN.values()]
        rows = model_table.newest_first(session)
        infos += [model_info.of_row(self._storage, row) for row in rows]
        return sorted(map(self._as_it_is, infos), key=lambda info: info.name != self._default)  # stable

    def page(self, session: Session, after: str | None, limit: int) -> tuple[Sequence[ModelInfo], bool]:
        """Up to `limit` models of that list, those behind the one named `after`, and whether more follow.

        Raises:
            ModelNotFound: `after` names none.
        """
        infos = self.list(session)
        names = [info.name for info in infos]
        if after is not None and after not in names:
            raise ModelNotFound(f"after: there is no model {after[:200]!r}", param="after")
        first = 0 if after is None else names.index(after) + 1
        return infos[first : first + limit], len(infos) > first + limit

    def info(self, session: Session, name: str) -> ModelInfo:
        """One model, or one checkpoint, `job_id@step`.

        Raises:
            ModelNotFound, CheckpointNotFound: there is none of that name.
            DataMissing: the checkpoint's files are gone or damaged.
        """
        return self._as_it_is(self._described(session, name))

    def _described(self, session: Session, name: str) -> ModelInfo:
        if name in BUILT_IN:
            return model_info.of_built_in(self._storage, BUILT_IN[name])
        if "@" in name:
            return self._checkpoint(session, name)
        row = model_table.get(session, name) if MODEL_NAME.fullmatch(name) else None
        if row is None:
            raise ModelNotFound(f"there is no model {name[:200]!r}; GET /models lists them", param="name")
        return model_info.of_row(self._storage, row)

    def _as_it_is(self, info: ModelInfo) -> ModelInfo:
        """With what memory holds of it at this moment."""
        models, name = self._models, info.name
        state, progress, held = models.state(name), models.progress(name), models.held_bytes(name)
        return replace(info, state=state, progress=progress, held_bytes=held)

    def _checkpoint(self, session: Session, name: str) -> ModelInfo:
        row = model_files.checkpoint_row(session, name)
        job = job_table.get(session, row.job_id) if row is not None else None
        if row is None or job is None:
            raise CheckpointNotFound(f"there is no checkpoint {name[:200]!r}", param="name")
        base = job.model.get("name")
        return model_info.of_checkpoint(
            self._storage.checkpoint(row.job_id, row.path),
            row,
            base_model=base,
            datasets=lineage.datasets_of(session, job),
            ancestors=lineage.ancestors_of(session, base),
            owner=job.owner,
        )
