"""What the processes of an attempt begin with: which job under which fence, one kind of log lines, less haste."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass

from app.config import Settings, get_settings
from app.log import bind_contextvars, configure_logging

NICE = 10  # answers to people go before training


@dataclass(frozen=True)
class Attempt:
    """At a job, under a fence."""

    job_id: str
    fence: int
    settings: Settings
    traceparent: str | None = None
    """The worker's span of this attempt; None where the worker makes none."""


def begin(program: str, description: str) -> Attempt:
    """Read the command line `JOB FENCE [--traceparent SPAN]` and the settings; from now on each log line names both."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument("job_id")
    parser.add_argument("fence", type=int)
    parser.add_argument("--traceparent", help="the span that this is a part of, as W3C Trace Context writes it")
    wanted = parser.parse_args()
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    bind_contextvars(job_id=wanted.job_id, fence=wanted.fence)
    os.nice(NICE)
    return Attempt(wanted.job_id, wanted.fence, settings, wanted.traceparent)
