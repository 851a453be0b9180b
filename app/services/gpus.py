"""The GPUs that this process computes on, told to Prometheus when it asks: memory, and how busy they are.

What is told is the whole device's, whoever uses it. Nothing is told where this process uses no GPU: to look would take
some hundred MB of each, and torch, which a server that lets another one generate never loads. What a driver does not
say is absent; nought would be a lie. Utilisation, and the memory of GPUs beside the one in use, come from NVML, for
which PyTorch asks `nvidia-ml-py` (the extra `gpu`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.log import get_logger

log = get_logger(__name__)

LABELS = ("device", "name")
Found = TypeVar("Found")


class Cuda(Protocol):
    """What is asked of `torch.cuda`, whose functions these are."""

    def is_initialized(self) -> bool: ...
    def device_count(self) -> int: ...
    def get_device_properties(self, device: int, /) -> Any: ...
    def memory_reserved(self, device: int, /) -> int: ...
    def mem_get_info(self, device: int, /) -> tuple[int, int]: ...
    def device_memory_used(self, device: int, /) -> int: ...
    def utilization(self, device: int, /) -> int: ...


@dataclass(frozen=True)
class Gpu:
    """One device; None: nobody says."""

    device: str  # cuda:0
    name: str
    total_bytes: int
    used_bytes: int | None
    utilisation: float | None  # share of the last moment in which something was computed, 0 to 1


@dataclass(frozen=True, eq=False)  # a registry keeps collectors by their hash
class Gpus(Collector):
    """Read once."""

    found: tuple[Gpu, ...]

    def collect(self) -> Iterator[Metric]:
        for name, told, field in (
            ("inkling_gpu_memory_bytes", "Memory of a GPU.", "total_bytes"),
            ("inkling_gpu_memory_used_bytes", "Of it, what is taken, by whomever.", "used_bytes"),
            ("inkling_gpu_utilization_ratio", "Share of the time in which a GPU computed.", "utilisation"),
        ):
            family = GaugeMetricFamily(name, told, labels=LABELS)
            for gpu in self.found:
                value = getattr(gpu, field)
                if value is not None:
                    family.add_metric([gpu.device, gpu.name], value)
            if family.samples:
                yield family


def read(cuda: Cuda | None = None) -> Gpus:
    """Those that this process sees, where it uses one.

    Args:
        cuda: what tells of them; None: PyTorch, where it is loaded.
    """
    cuda = cuda or _loaded()
    if cuda is None or not cuda.is_initialized():
        return Gpus(())
    return Gpus(tuple(_look(cuda, number) for number in range(cuda.device_count())))


def _loaded() -> Cuda | None:
    if "torch" not in sys.modules:
        return None
    import torch  # waits for whoever is loading it

    return torch.cuda


def _look(cuda: Cuda, number: int) -> Gpu:
    about = cuda.get_device_properties(number)
    busy = _said("utilisation", number, lambda: cuda.utilization(number))
    used = _said("memory", number, lambda: cuda.device_memory_used(number))
    if used is None and cuda.memory_reserved(number):  # CUDA's own word takes memory on devices that are not in use
        free_and_total = _said("memory", number, lambda: cuda.mem_get_info(number))
        used = None if free_and_total is None else free_and_total[1] - free_and_total[0]
    return Gpu(f"cuda:{number}", about.name, about.total_memory, used, None if busy is None else busy / 100)


def _said(what: str, number: int, ask: Callable[[], Found]) -> Found | None:
    """What NVML or CUDA says; None: it is not installed, there is no driver, or this device, or part of one, fails."""
    try:
        return ask()
    except Exception as error:  # noqa: BLE001 - its errors are of classes that are not there where it is not installed
        log.debug("gpu_does_not_say", device=number, what=what, error=f"{type(error).__name__}: {error}"[:200])
        return None
