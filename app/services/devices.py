"""What this machine can train on, found without torch in this process: a worker stays small and starts quickly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from app.config import Settings
from app.log import get_logger

log = get_logger(__name__)

Devices = dict[str, int]
"""How many of each kind; of `cpu`, whatever its cores, so many processes as the settings allow for one job."""

NVIDIA = (Path("/dev/nvidiactl"), Path("/dev/dxg"))  # the driver's, on Linux and in WSL
ASK = (sys.executable, "-c", "import torch; print(torch.cuda.device_count())")
ASK_FOR_S = 120.0


def found(settings: Settings) -> Devices:
    """The devices that this machine has, and that a worker of these settings is to use."""
    wanted = settings.worker_devices
    cards = 0 if wanted == "cpu" else _cards()
    devices = {"cuda": cards} if cards else {}
    return devices if wanted == "cuda" else {"cpu": settings.cpu_devices} | devices


def can_run(devices: Devices, device: str, count: int) -> bool:
    """Whether a job that asks for `count` of `device` (`auto`: of any kind) runs there."""
    return count <= (max(devices.values(), default=0) if device == "auto" else devices.get(device, 0))


def _cards() -> int:
    """CUDA devices that torch can use; it is asked in a child, and only where there is a driver at all."""
    if not any(path.exists() for path in NVIDIA):
        return 0
    try:
        asked = subprocess.run(ASK, capture_output=True, text=True, timeout=ASK_FOR_S, check=True)
        return int(asked.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        log.warning("cuda_not_found", error=str(error))
        return 0
