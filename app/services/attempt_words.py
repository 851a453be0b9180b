"""What an attempt at a job says when it begins, and when its steps are done: in words, and the same as data."""

from __future__ import annotations

from typing import Any

import torch

from app.llm.train.loop import Report, TrainState
from app.services.machine_use import Gauge
from app.services.recipe import Run

Said = tuple[str, dict[str, Any]]


def beginning(
    run: Run, resume: TrainState | None, gauge: Gauge, device: torch.device, count: int, divided: bool
) -> Said:
    """Before the first step, or the first one after `resume`.

    Args:
        count: of devices, each as `device`.
        divided: they have parts of the network.
    """
    parameters = list(run.task.model.parameters())
    weights, steps = sum(parameter.numel() for parameter in parameters), run.config.max_steps or 0
    learning = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    begin = "training" if resume is None else f"going on from step {resume.report.step}, training"
    many = "" if count == 1 else f"{count} × "
    among = ", which divide them" if divided else ""
    return f"{begin} {learning:,} of {weights:,} weights for {steps:,} steps on {many}{device.type}{among}", {
        "weights": weights,
        "learning": learning,
        "device": device.type,
        "devices": count,
        "sharded": divided,
        "sources": _sources(run, steps),
        "flops_per_token": gauge.flops_per_token,
        "peak_flops": gauge.peak_flops,
    }


def end(run: Run, report: Report) -> Said:
    """What was read in all steps."""
    sources = _sources(run, report.step)
    read = ", ".join(
        f"{each['dataset']}: {each['tokens_read']:,} tokens, {each['epochs']:.2f} times through its {each['tokens']:,}"
        for each in sources
    )
    return f"read: {read}", {"sources": sources}


def _sources(run: Run, steps: int) -> list[dict[str, Any]]:
    return run.data.sources(steps * run.config.accumulate)
