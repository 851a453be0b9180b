"""The device that a process of a job trains on, its threads, and its part of the work."""

from __future__ import annotations

import os

import torch

from app.config import Settings
from app.db.tables.job import JobRow
from app.errors import AppError, InvalidRequest
from app.llm.errors import BadConfig
from app.llm.train.loop import Task
from app.llm.train.ranks import Ranks
from app.services.recipe import Run


class DeviceUnavailable(AppError):
    """The job asks for devices that this worker does not have."""

    status = 409
    code = "device_unavailable"
    type = "conflict_error"


def take(job: JobRow, settings: Settings, here: int, local_rank: int = 0) -> torch.device:
    """The device of the process that is number `local_rank` on this machine, and the threads that are its share.

    Args:
        here: of the job's processes on one machine, at most; so all machines choose the same kind of device.

    Raises:
        DeviceUnavailable: there are not enough of that kind.
    """
    device = choose(job.device, settings.worker_devices, here)
    if settings.train_threads or job.devices > 1:
        threads = settings.train_threads or os.cpu_count() or 1
        torch.set_num_threads(max(1, threads // here))
    if device.type == "cuda" and job.devices > 1:
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    return device


def choose(wanted: str, to_use: str = "auto", count: int = 1) -> torch.device:
    """The kind of device for `auto`, `cpu` or `cuda`, among those that the worker is to use, of which there are enough.

    Raises:
        DeviceUnavailable: there are not.
    """
    cards = torch.cuda.device_count() if to_use != "cpu" and torch.cuda.is_available() else 0
    if wanted == "cuda" and cards < count:
        has = "no CUDA device" if not cards else f"{cards} of the {count} CUDA devices"
        raise DeviceUnavailable(f"this worker has {has}; `auto` or `cpu` would run here", param="device")
    return torch.device("cuda" if cards >= count and wanted != "cpu" else "cpu")


def lacks_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 products are emulated there, some hundred times slower than float32 (x86 without AVX-512)."""
    known = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)  # private: asked where it is there
    return device.type == "cpu" and known is not None and not known()


def part_of(run: Run, ranks: Ranks) -> Task:
    """The task of this process.

    Raises:
        InvalidRequest: the run is none for several processes, or its batches cannot be divided among them.
    """
    if ranks.count == 1:
        return run.task
    if run.part is None:
        raise InvalidRequest("devices: this job's batches cannot be divided; it trains on one", param="devices")
    try:
        return run.part(ranks.rank, ranks.count)
    except BadConfig as error:
        raise InvalidRequest(f"train.{error}", param="train.batch_size") from error
