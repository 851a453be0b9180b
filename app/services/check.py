"""What one look of `inkling doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """`mend` is empty where nothing is to be done; a problem keeps the service from its work."""

    name: str
    status: Status
    told: str
    mend: str = ""
