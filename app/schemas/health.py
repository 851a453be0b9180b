"""The wire of /healthz and /readyz."""

from __future__ import annotations

from typing import Literal

from app.schemas.base import Out


class HealthOut(Out):
    status: Literal["ok"]


class PartOut(Out):
    ready: bool
    detail: str | None


class ReadyOut(Out):
    """Where something is missing, `error` stands beside these, as in every refusal."""

    ready: bool
    parts: dict[str, PartOut]
