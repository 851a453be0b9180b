"""What the processes beside the first do in a job of several devices: every step, on their part of its batch.

They write nothing and decide nothing; where the first one stops, so do they.
"""

from __future__ import annotations

import torch

from app.db.tables import checkpoint as checkpoint_table
from app.db.tables.job import JobRow
from app.llm.checkpoint import ModelMeta, Network, load_checkpoint
from app.llm.errors import TrainingDiverged, TrainingStopped
from app.llm.train.early_stop import Best
from app.llm.train.loop import Report, TrainState, train
from app.llm.train.ranks import Ranks
from app.log import get_logger
from app.services import adapting, sharding, train_devices
from app.services.recipes import RECIPES
from app.services.runtime import Runtime
from app.services.training import opened

log = get_logger(__name__)


def follow(runtime: Runtime, job_id: str, ranks: Ranks, local_rank: int) -> None:
    """Train along until the run ends, or the first process ends it.

    Args:
        local_rank: which of the job's processes on this machine it is.

    Raises:
        Exception: something is wrong here alone; the process ends, and with it the attempt.
    """
    try:
        _follow(runtime, job_id, ranks, local_rank)
    except (TrainingStopped, TrainingDiverged) as stopped:  # in the first process, too, which tells why
        log.info("rank_stopped", rank=ranks.rank, reason=str(stopped))


def _follow(runtime: Runtime, job_id: str, ranks: Ranks, local_rank: int) -> None:
    job, encoder = opened(runtime, job_id)
    recipe = RECIPES[job.recipe]
    step = ranks.led(_wait)
    device = train_devices.take(job, runtime.settings, ranks.here, local_rank)
    if step is None:
        made = recipe.make_network(runtime, job, encoder)
        model, meta = adapting.begun(runtime, recipe.read_config(job.train).lora, *made)
        torch.manual_seed(job.seed + ranks.rank)  # the weights are the same, what dropout leaves out is not
        state = None
    else:
        model, meta, state = _resumed(runtime, job, int(step))
    model.to(device)
    run = recipe.make_run(runtime, job, encoder, model, meta, _wait)
    task = train_devices.part_of(run, ranks)
    ranks = sharding.agreed(ranks, _decide)
    train(task, run.config, Unheard(), resume=state, ranks=ranks)


def _resumed(runtime: Runtime, job: JobRow, step: int) -> tuple[Network, ModelMeta, TrainState]:
    """The checkpoint that the first process goes on from."""
    with runtime.database.read() as session:
        row = checkpoint_table.get(session, job.id, step)
    if row is None:
        raise TrainingStopped("lost")
    found, meta, state = load_checkpoint(runtime.storage.checkpoint(job.id, row.path), row.sha256)
    return adapting.resumed(runtime, found, meta), meta, state


class Unheard:
    """Callbacks that no process but the first has; the loop calls none of them here."""

    def check(self) -> None:
        raise NotImplementedError

    def on_report(self, report: Report) -> None:
        raise NotImplementedError

    def on_sample(self, step: int, text: str) -> None:
        raise NotImplementedError

    def on_early_stop(self, best: Best) -> None:
        raise NotImplementedError

    def on_checkpoint(self, state: TrainState) -> None:
        raise NotImplementedError


def _wait() -> None:
    """Nothing of its own to do."""


def _decide() -> bool:
    raise NotImplementedError  # the first process does
