"""Whether a job that is asked for can fit: its memory on this machine, its checkpoints on the disk.

Memory is judged where the job would run here and on the CPU: what a worker elsewhere, or a GPU, has is known there.
Only what can never fit is refused; whether there is room at the moment is another question.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

from app.config import Settings
from app.errors import AppError, DoesNotFit, NoDiskSpace
from app.llm.train import divided_footprint
from app.llm.train.config import LoopConfig
from app.llm.train.divided_footprint import Divided
from app.llm.train.footprint import checkpoint_bytes
from app.services import devices, machine
from app.services.job_checks import Plan
from app.services.recipe import Asked
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
        found.append(too_little_memory(plan, machine.memory_bytes(), on_cpu=True))
    return [problem for problem in found if problem is not None]


def runs_here(settings: Settings, device: str) -> bool:
    """Whether a job of `device` certainly runs on this machine's CPU."""
    if settings.broker_url or device == "cuda":
        return False
    return device == "cpu" or settings.worker_devices == "cpu" or not any(path.exists() for path in devices.NVIDIA)


def divided(plan: Plan, there: int | None, *, on_cpu: bool) -> tuple[Divided, bool]:
    """What the job's devices take, and whether they divide its network; `there` as of `divided_footprint.of`."""
    asked = plan.asked
    return divided_footprint.of(asked.network, asked.train, asked.window, plan.devices, there, on_cpu=on_cpu)


def checkpoints_of(runtime: Runtime, plan: Plan, steps: int | None) -> Checkpoints:
    """`steps`: of the run; None: not known."""
    train = plan.asked.train
    free = shutil.disk_usage(runtime.storage.data_dir).free
    return Checkpoints(checkpoint_bytes(plan.asked.network, train), _copies(train, train.keep_checkpoints, steps), free)


def _copies(train: LoopConfig, keep: int, steps: int | None) -> int:
    """At once, at most: the newest, the best, and the one being written."""
    most = keep + 1 + train.keep_best
    return most if steps is None else min(most, -(-steps // train.checkpoint_every))


def too_little_memory(plan: Plan, there: int, *, on_cpu: bool) -> DoesNotFit | None:
    """Why the job does not fit into `there` bytes, of one GPU or of a machine whose CPU trains; None where it does."""
    asked = plan.asked
    needed = _needed(plan, there, on_cpu=on_cpu)
    if needed <= there:
        return None
    told = f"the job needs about {_gb(needed)} of memory, and there are {_gb(there)}"
    batch = _largest_batch(plan, there, on_cpu=on_cpu)
    if batch:
        return DoesNotFit(f"train.batch_size: {told}; {batch} would fit", param="train.batch_size")
    least = replace(_with_batch(asked, plan.devices), window=1)
    is_long = asked.window > 1 and hasattr(asked.train, "context_length")
    if is_long and _needed(replace(plan, asked=least), there, on_cpu=on_cpu) <= there:
        of_one = "one" if plan.devices == 1 else "one a device"
        return DoesNotFit(f"train.context_length: {told}, even with a batch of {of_one}", param="train.context_length")
    return DoesNotFit(f"model: {told}; a smaller network would fit", param="model")


def _needed(plan: Plan, there: int, *, on_cpu: bool) -> int:
    found = divided(plan, there, on_cpu=on_cpu)[0]
    return found.together if on_cpu else found.first.total


def _largest_batch(plan: Plan, there: int, *, on_cpu: bool) -> int:
    """Of how many windows a batch may be, at most, evenly divided; 0: not even of one a device."""
    low, high = 0, plan.asked.train.batch_size // plan.devices
    while high - low > 1:
        middle = (low + high) // 2
        tried = replace(plan, asked=_with_batch(plan.asked, middle * plan.devices))
        low, high = (middle, high) if _needed(tried, there, on_cpu=on_cpu) <= there else (low, middle)
    return low * plan.devices


def _with_batch(asked: Asked, batch_size: int) -> Asked:
    return replace(asked, train=replace(asked.train, batch_size=batch_size))


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
