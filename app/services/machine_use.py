"""What a trainer takes of its machine at a step: memory, and the share of what its device could compute."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from app.services.progress import MachineUse

STATM = Path("/proc/self/statm")


@dataclass(frozen=True)
class Gauge:
    """Of one attempt."""

    device: torch.device
    flops_per_token: int | None
    peak_flops: float | None  # operations a second

    def read(self, tokens_per_s: float | None) -> MachineUse:
        share = None
        if tokens_per_s is not None and self.flops_per_token is not None and self.peak_flops:
            share = tokens_per_s * self.flops_per_token / self.peak_flops
        held = torch.cuda.memory_reserved(self.device) if self.device.type == "cuda" else None
        return MachineUse(resident_bytes(), held, share)


def resident_bytes() -> int | None:
    """Memory of this process that is not swapped out; None on systems that do not tell."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
