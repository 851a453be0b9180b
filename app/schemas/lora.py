"""The wire of `train.lora`: how a job has an adapter learn."""

from __future__ import annotations

from pydantic import Field

from app.schemas.base import In


class LoRASpec(In):
    """Low-rank matrices that learn beside the layers of a network that stays as it is."""

    rank: int = 16
    alpha: float = Field(16.0, description="What is learnt counts alpha / rank times.")
    dropout: float = Field(0.0, description="Of what the first of the two matrices reads.")
    targets: list[str] | None = Field(
        None, max_length=16, description="Layers by name: query, key, value, out, gate, up, down; omitted: all."
    )
