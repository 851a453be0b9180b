"""What is told of GPUs, by a CUDA that is not there: all that is known, and nothing that is not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from app.services import gpus
from app.services.metrics import Metrics

GIB = 1024**3


class NVMLError(Exception):
    """As NVML's: kin of nothing but `Exception`."""


@dataclass
class FakeCuda:
    """`torch.cuda` of a machine with two GPUs, the first of which is in use."""

    is_used: bool = True
    nvml: Exception | None = None
    is_broken: bool = False
    asked: list[str] = field(default_factory=list)

    def is_initialized(self) -> bool:
        return self.is_used

    def device_count(self) -> int:
        self._may_be_asked("device_count")
        return 2

    def get_device_properties(self, device: int, /) -> Any:
        self._may_be_asked("get_device_properties")
        return SimpleNamespace(name=f"Fake {device}", total_memory=80 * GIB)

    def memory_reserved(self, device: int, /) -> int:
        return 10 * GIB if device == 0 else 0

    def mem_get_info(self, device: int, /) -> tuple[int, int]:
        if self.is_broken:
            raise RuntimeError("CUDA error: unspecified launch failure")
        assert device == 0, "this takes memory on a device that is not in use"
        return 60 * GIB, 80 * GIB

    def device_memory_used(self, device: int, /) -> int:
        self._nvml()
        return (21, 1)[device] * GIB

    def utilization(self, device: int, /) -> int:
        self._nvml()
        return (37, 0)[device]

    def _nvml(self) -> None:
        if self.nvml is not None:
            raise self.nvml

    def _may_be_asked(self, what: str) -> None:
        self.asked.append(what)


def told(cuda: FakeCuda) -> dict[tuple[str, str], float]:
    text = Metrics().written({}, gpus.read(cuda)).decode()
    families = [each for each in text_string_to_metric_families(text) if each.name.startswith("inkling_gpu")]
    return {(each.name, one.labels["device"]): one.value for each in families for one in each.samples}


def test_each_gpu_tells_its_memory_and_how_busy_it_is() -> None:
    assert told(FakeCuda()) == {
        ("inkling_gpu_memory_bytes", "cuda:0"): 80 * GIB,
        ("inkling_gpu_memory_bytes", "cuda:1"): 80 * GIB,
        ("inkling_gpu_memory_used_bytes", "cuda:0"): 21 * GIB,
        ("inkling_gpu_memory_used_bytes", "cuda:1"): 1 * GIB,
        ("inkling_gpu_utilization_ratio", "cuda:0"): 0.37,
        ("inkling_gpu_utilization_ratio", "cuda:1"): 0.0,  # it was asked, and said so
    }
    assert b'name="Fake 0"' in Metrics().written({}, gpus.read(FakeCuda()))


def test_without_nvml_cuda_tells_of_the_one_in_use_and_nobody_says_how_busy_it_is() -> None:
    for error in (ModuleNotFoundError("nvidia-ml-py"), RuntimeError("no driver"), NVMLError("Not Supported")):
        assert told(FakeCuda(nvml=error)) == {
            ("inkling_gpu_memory_bytes", "cuda:0"): 80 * GIB,
            ("inkling_gpu_memory_bytes", "cuda:1"): 80 * GIB,
            ("inkling_gpu_memory_used_bytes", "cuda:0"): 20 * GIB,
        }


def test_a_gpu_that_fails_does_not_take_the_other_figures_along() -> None:
    found = told(FakeCuda(nvml=NVMLError("GPU is lost"), is_broken=True))
    assert {name for name, _ in found} == {"inkling_gpu_memory_bytes"}


def test_a_process_that_uses_none_looks_at_none() -> None:
    """To look would begin to use it."""
    cuda = FakeCuda(is_used=False)
    assert (told(cuda), cuda.asked) == ({}, [])


def test_torch_as_it_is_fits_what_is_asked_of_it() -> None:
    import torch

    asked = [name for name in vars(gpus.Cuda) if not name.startswith("_")]
    assert len(asked) == 7
    assert all(callable(getattr(torch.cuda, name)) for name in asked)
    assert gpus.read().found == () or torch.cuda.is_initialized()


def test_torch_is_not_loaded_for_it() -> None:
    looks = "import sys; from app.services import gpus; print(gpus.read().found, 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", looks], capture_output=True, text=True, check=True).stdout
    assert said == "() False\n"
