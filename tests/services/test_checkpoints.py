"""What one that lost its job leaves of the checkpoints of the one that has it now: everything."""

from __future__ import annotations

import pytest
import torch

from app.config import Settings
from app.db.session import Database
from app.db.tables import checkpoint, job
from app.db.tables.job import Ending
from app.llm.checkpoint import ModelMeta
from app.llm.config import ModelConfig
from app.llm.errors import TrainingStopped
from app.llm.model.transformer import Transformer
from app.llm.train.config import TrainConfig
from app.llm.train.loop import Report, TrainState
from app.services import leases
from app.services.checkpoints import Checkpoints
from app.services.progress import Progress
from app.services.storage import Storage
from tests.jobs_made import queued

CONFIG = ModelConfig(vocab_size=8, context_length=4, emb_dim=4, n_heads=1, n_layers=1)


def held_twice(database: Database, storage: Storage) -> tuple[Checkpoints, Checkpoints]:
    """The checkpoints of a job in the hands of one that lost it, and of its holder since."""
    queued(database)
    stale = held(database, storage)
    with database.write() as session:
        [row] = job.live(session)
        job.release(row)
    return stale, held(database, storage)


def held(database: Database, storage: Storage) -> Checkpoints:
    claim = leases.claim(database, "w", 30)
    assert claim is not None
    return Checkpoints(
        database, storage, Progress(database, claim.job_id, claim.fence), TrainConfig(keep_checkpoints=2)
    )


def save(checkpoints: Checkpoints, step: int) -> None:
    state = TrainState(Report(step=step, total_steps=9), {}, {"cpu": torch.get_rng_state()})
    checkpoints.save(Transformer(CONFIG), ModelMeta(CONFIG, "words"), state)


@pytest.fixture
def storage(settings: Settings) -> Storage:
    made = Storage(settings.data_dir, settings.assets_dir)
    made.prepare()
    return made


def test_a_trainer_that_lost_its_job_sweeps_nothing(any_database: Database, storage: Storage) -> None:
    """One that was stopped while it started took what its successor was writing for remainders, and deleted it."""
    stale, holder = held_twice(any_database, storage)
    save(holder, 2)
    [folder] = (storage.data_dir / "jobs").iterdir()
    half_written = folder / ".step-00000004-fence-2.ab12"
    half_written.mkdir()
    with pytest.raises(TrainingStopped, match="lost"):
        stale.resume()
    assert {path.name for path in folder.iterdir()} == {"step-00000002-fence-2", half_written.name}
    assert holder.resume() is not None
    assert {path.name for path in folder.iterdir()} == {"step-00000002-fence-2"}


def test_a_checkpoint_that_came_too_late_leaves_no_folder(any_database: Database, storage: Storage) -> None:
    """Nobody lists it, and once the job has ended, nobody sweeps."""
    stale, holder = held_twice(any_database, storage)
    save(holder, 2)
    with pytest.raises(TrainingStopped, match="lost"):
        save(stale, 3)
    [folder] = (storage.data_dir / "jobs").iterdir()
    assert {path.name for path in folder.iterdir()} == {"step-00000002-fence-2"}


def test_what_a_waiting_job_goes_on_from_is_kept(any_database: Database, storage: Storage) -> None:
    """With one worker, a job that goes on from another's checkpoint waits behind it, and found it pruned."""
    queued(any_database)
    holder = held(any_database, storage)
    save(holder, 1)
    with any_database.read() as session:
        [row] = job.live(session)
    waiting = queued(any_database, model={"name": f"{row.id}@1"})
    for step in (2, 3, 4):
        save(holder, step)
    assert steps(any_database, row.id) == [4, 3, 1]
    with any_database.write() as session:
        other = job.lock(session, waiting)
        assert other is not None
        job.finish(other, Ending("cancelled"))
    save(holder, 5)
    assert steps(any_database, row.id) == [5, 4]
    assert len(list(storage.job(row.id).iterdir())) == 2


def steps(database: Database, job_id: str) -> list[int]:
    with database.read() as session:
        return [row.step for row in checkpoint.of_job(session, job_id)]
