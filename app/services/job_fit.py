"""Whether a job that is asked for can fit: its memory on this machine, its checkpoints on the disk.

Memory is judged where the job would run here and on the CPU: what a worker elsewhere, or a GPU, has is known there.
Only what can never fit is refused; whether there is room at the moment is another question.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

from app.config import Settings
from app.errors import AppError, DoesNotFit, NoDiskSpace
from app.llm.train.config import LoopConfig
from app.llm.train.footprint import Footprint, checkpoint_bytes, footprint
from app.services import devices, machine
from app.services.job_checks import Plan
from app.services.runtime import Runtime


@dataclass(frozen=True)
class Checkpoints:
    """What they take of the disk."""

    size_bytes: int  # of one
    copies: int  # at once, at most: those kept, the best, and the one being written
    free_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.size_bytes * self.copies


def check(runtime: Runtime, plan: Plan, device: str) -> None:
    """Pass a job that can fit.

    Raises:
        DoesNotFit: it needs more memory than there is.
        NoDiskSpace: its checkpoints need more room than is free.
    """
    for problem in problems(runtime, plan, device):
        raise problem


def problems(runtime: Runtime, plan: Plan, device: str) -> list[AppError]:
    """Why the job cannot fit; each names the field to change."""
    found: list[AppError | None] = [_too_little_disk(runtime, plan)]
    if runs_here(runtime.settings, device):
        found.append(too_little_memory(plan, machine.memory_bytes()))
    return [problem for problem in found if problem is not None]


def runs_here(settings: Settings, device: str) -> bool:
    """Whether a job of `device` certainly runs on this machine's CPU."""
    if settings.broker_url or device == "cuda":
        return False
    return device == "cpu" or settings.worker_devices == "cpu" or not any(path.exists() for path in devices.NVIDIA)


def memory_of(plan: Plan) -> Footprint:
    return footprint(plan.asked.network, plan.asked.train, plan.asked.window)


def checkpoints_of(runtime: Runtime, plan: Plan, steps: int | None) -> Checkpoints:
    """`steps`: of the run; None: not known."""
    train = plan.asked.train
    free = shutil.disk_usage(runtime.storage.data_dir).free
    return Checkpoints(checkpoint_bytes(plan.asked.network, train), _copies(train, train.keep_checkpoints, steps), free)


def _copies(train: LoopConfig, keep: int, steps: int | None) -> int:
    """At once, at most: the newest, the best, and the one being written."""
    most = keep + 1 + train.keep_best
    return most if steps is None else min(most, -(-steps // train.checkpoint_every))


def too_little_memory(plan: Plan, there: int) -> DoesNotFit | None:
    """Why the job does not fit into `there` bytes; None where it does."""
    asked = plan.asked
    needed = memory_of(plan).total
    if needed <= there:
        return None
    told = f"the job needs about {_gb(needed)} of memory, and there are {_gb(there)}"
    batch = _largest_batch(plan, there)
    if batch:
        return DoesNotFit(f"train.batch_size: {told}; {batch} would fit", param="train.batch_size")
    least = footprint(asked.network, _with_batch(asked.train, 1), 1).total
    if least <= there and asked.window > 1 and hasattr(asked.train, "context_length"):
        return DoesNotFit(f"train.context_length: {told}, even with a batch of one", param="train.context_length")
    return DoesNotFit(f"model: {told}; a smaller network would fit", param="model")


def _largest_batch(plan: Plan, there: int) -> int:
    """Of how many windows a batch may be, at most; 0: not even of one."""
    asked = plan.asked
    low, high = 0, asked.train.batch_size
    while high - low > 1:
        middle = (low + high) // 2
        fits = footprint(asked.network, _with_batch(asked.train, middle), asked.window).total <= there
        low, high = (middle, high) if fits else (low, middle)
    return low


def _with_batch(train: LoopConfig, batch_size: int) -> LoopConfig:
    return replace(train, batch_size=batch_size)


def _too_little_disk(runtime: Runtime, plan: Plan) -> NoDiskSpace | None:
    needed = checkpoints_of(runtime, plan, plan.asked.train.max_steps)
    if needed.total_bytes <= needed.free_bytes:
        return None
    told = f"{needed.copies} checkpoints of {_gb(needed.size_bytes)} need {_gb(needed.total_bytes)}"
    told += f" of disk, and {_gb(needed.free_bytes)} are free"
    least = _copies(plan.asked.train, 1, plan.asked.train.max_steps) * needed.size_bytes
    param = "train.keep_checkpoints" if least <= needed.free_bytes else "model"
    return NoDiskSpace(f"{param}: {told}", param=param)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"
