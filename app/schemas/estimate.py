"""The wire of POST /jobs/estimate: what a job would take. Bytes are bytes, times seconds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.schemas.base import Out


class ParametersOut(Out):
    all: int
    learning: int


class MemoryOut(Out):
    """Of the device that trains, of several the first, at the fullest moment; computed from the configuration."""

    weights: int
    gradients: int
    optimizer: int
    activations: int = Field(description="Kept for the backward pass, and what comes and goes beside it.")
    process: int = Field(description="Python and PyTorch, before there is a network.")
    total: int
    sharded: bool = Field(description="Several devices divide weights, gradients and optimizer among them.")
    other_devices: int | None = Field(description="The total of each other one: the first measures and saves as well.")
    measured_peak: int | None = Field(description="Of the process that tried some steps, at its batch size.")
    there: int | None = Field(
        description="What the device has, or the machine whose CPU is all of them; null where this machine cannot know."
    )
    fits: bool | None


class DiskOut(Out):
    """Of the data directory."""

    checkpoint: int = Field(description="One checkpoint.")
    copies: int = Field(description="At once, at most: those that are kept, and one being written.")
    total: int
    free: int
    fits: bool


class SizeOut(Out):
    dataset_tokens: int = Field(description="To learn from, each counted once.")
    exact: bool = Field(description="False: the beginning of a long text stands for all of it.")
    tokens: int = Field(description="Read in all steps.")
    tokens_a_step: int
    steps: int
    steps_an_epoch: int
    epochs: float


class SpeedOut(Out):
    """Measured by some steps on ids by chance, on this machine, in a process of their own."""

    device: str
    steps: int
    batch_size: int = Field(description="Smaller than the job's where whole batches take too long to be tried.")
    tokens_per_s: float = Field(description="The median.")
    lowest: float
    highest: float


class RangeOut(Out):
    """From the first step to the last, evaluations and checkpoints among it; waiting in the queue is not."""

    expected: float
    low: float
    high: float


class ProblemOut(Out):
    code: str
    message: str
    param: str | None


class EstimateOut(Out):
    object: Literal["job.estimate"] = "job.estimate"
    parameters: ParametersOut
    memory: MemoryOut
    disk: DiskOut
    size: SizeOut
    speed: SpeedOut | None
    why_no_speed: str | None
    seconds: RangeOut | None
    fits: bool = Field(description="False: POST /jobs would refuse it.")
    problems: list[ProblemOut]
