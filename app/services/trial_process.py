"""Has a child process try a few steps of a job (`trial_child`), for so long and no longer. One at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from typing import Any

from app.log import get_logger

log = get_logger(__name__)

STEPS_S = 20.0  # for the steps; one that has begun is waited for
LIMIT_S = 45.0  # for all of it, torch's start and the making of the network among it
BUSY_S = 60.0  # for another estimate's
COMMAND = (sys.executable, "-m", "app.services.trial_child")
_ONE = threading.Lock()


@dataclass(frozen=True)
class Asked:
    """What is to be tried."""

    recipe: str
    family: str
    network: dict[str, Any]
    train: dict[str, Any]
    window: int  # tokens of an example as a batch holds it: one as long as the others are
    device: str  # as the job names it
    devices: str  # that a worker here is to use (INKLING_WORKER_DEVICES)
    threads: int
    seconds: float = STEPS_S


@dataclass(frozen=True)
class Step:
    batch_size: int
    tokens: int
    seconds: float
    peak_bytes: int

    @property
    def tokens_per_s(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Trial:
    """What came of it: no step where `why_not` says why."""

    steps: tuple[Step, ...] = ()
    device: str | None = None
    device_bytes: int | None = None
    why_not: str | None = None


def measure(asked: Asked, limit_s: float = LIMIT_S) -> Trial:
    """Try it, and wait for that; a thread of its own should.

    Of the steps of one size the first is left out where there are more: it makes memory ready.
    """
    if not _ONE.acquire(timeout=BUSY_S):
        return Trial(why_not="other estimates are being measured; ask again")
    try:
        lines, why_not = _run(asked, limit_s)
    finally:
        _ONE.release()
    if not lines or "why_not" in lines[0]:
        return Trial(why_not=lines[0]["why_not"] if lines else why_not or "the process that tries it told nothing")
    first, steps = lines[0], [Step(**line) for line in lines[1:]]
    if not steps:
        return Trial((), first["device"], first["device_bytes"], why_not)
    largest = [step for step in steps if step.batch_size == steps[-1].batch_size]
    return Trial(tuple(largest[1:] or largest), first["device"], first["device_bytes"])


def _run(asked: Asked, limit_s: float) -> tuple[list[dict[str, Any]], str | None]:
    """The lines that came, and why there are no more of them."""
    question = json.dumps(asdict(asked)).encode() + b"\n"
    why_not = None
    try:
        done = subprocess.run(
            COMMAND, input=question, capture_output=True, timeout=limit_s, start_new_session=True, check=False
        )
        told = done.stdout
        if done.returncode != 0:
            log.warning("trial_failed", status=done.returncode, said=done.stderr.decode(errors="replace")[-2000:])
            why_not = "the process that tries it ended early; too little memory is the usual reason"
    except subprocess.TimeoutExpired as error:
        told = error.stdout or b""
        why_not = f"no step was done within {limit_s:g} s"
    whole = told[: told.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], why_not
