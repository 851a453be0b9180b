"""A job's checkpoints: saved and listed, the useful ones kept, the newest whole one found again.

A row is written only once its folder is complete, and goes before its folder does: what is listed is there.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from app.db.session import Database
from app.db.tables import checkpoint as checkpoint_table
from app.db.tables.checkpoint import CheckpointRow
from app.llm import checkpoint
from app.llm.checkpoint import ModelMeta, Network
from app.llm.errors import BadCheckpoint, TrainingStopped
from app.llm.model.adapter import Adapter
from app.llm.train.config import LoopConfig
from app.llm.train.loop import TrainState
from app.services import job_needs
from app.services.progress import Progress
from app.services.retention import kept
from app.services.storage import Storage


class Checkpoints:
    """Those of one attempt at a job, and what earlier attempts left."""

    def __init__(self, database: Database, storage: Storage, progress: Progress, config: LoopConfig) -> None:
        self._database, self._storage, self._progress = database, storage, progress
        self._job_id = progress.job_id
        self._config = config
        self._newest: tuple[int, Path] | None = None

    @property
    def newest(self) -> tuple[int, Path] | None:
        """Step and folder of the last one saved or resumed from."""
        return self._newest

    def resume(self) -> tuple[Network | Adapter, ModelMeta, TrainState] | None:
        """The newest checkpoint that is whole, or None. Any that is not is taken off the list and told of.

        Raises:
            TrainingStopped: `lost`.
        """
        with self._database.read() as session:
            rows = checkpoint_table.of_job(session, self._job_id)
        for row in rows:
            folder = self._storage.checkpoint(self._job_id, row.path)
            try:
                found = checkpoint.load_checkpoint(folder, row.sha256)
            except BadCheckpoint as error:
                self._progress.message(f"checkpoint at step {row.step} is not used: {error}", level="warn")
                self._remove(row)
            else:
                self._newest = (row.step, folder)
                self._sweep()
                return found
        self._sweep()
        return None

    def save(self, model: Network, meta: ModelMeta, state: TrainState) -> None:
        """Write, list, and drop those that are not to be kept; a step that is saved already is left alone.

        Raises:
            TrainingStopped: `lost`.
            OSError: the disk is full, or refuses.
        """
        step = state.report.step
        if self._newest is not None and self._newest[0] == step:
            return
        directory = f"step-{step:08d}-fence-{self._progress.fence}"
        folder = self._storage.checkpoint(self._job_id, directory)
        saved = checkpoint.save_checkpoint(folder, model, meta, state)
        metrics = {"loss": state.report.loss, "val_loss": state.report.val_loss}
        try:
            self._progress.checkpoint(step, directory, saved.size_bytes, saved.sha256, metrics)
        except TrainingStopped:  # the job is another's, and nobody else knows of this folder
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._newest = (step, folder)
        self._prune()

    def _prune(self) -> None:
        """Drop those that are neither to be kept nor what a waiting job goes on from."""
        with self._progress.writing() as session:
            rows = checkpoint_table.of_job(session, self._job_id)
            wanted = kept(rows, self._config.keep_checkpoints, self._config.keep_best) | job_needs.needed_of(
                session, self._job_id
            )
            gone = [row for row in rows if row.id not in wanted]
            for row in gone:
                checkpoint_table.remove(session, row.id)
        self._delete(gone)

    def _remove(self, row: CheckpointRow) -> None:
        """Unlist, then delete."""
        with self._progress.writing() as session:
            checkpoint_table.remove(session, row.id)
        self._delete([row])

    def _delete(self, rows: list[CheckpointRow]) -> None:
        for row in rows:
            shutil.rmtree(self._storage.checkpoint(self._job_id, row.path), ignore_errors=True)

    def _sweep(self) -> None:
        """Delete folders that no row lists: an attempt was killed while it wrote or deleted them.

        They are looked for while the job is held: what one that lost it takes for a remainder, its next holder writes.

        Raises:
            TrainingStopped: `lost`.
        """
        place = self._storage.job(self._job_id)
        with self._progress.writing() as session:
            listed = {row.path for row in checkpoint_table.of_job(session, self._job_id)}
            left = [folder for folder in place.iterdir() if folder.name not in listed] if place.exists() else []
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
