"""Starting a trainer, or `torchrun` with one for each device of its job, and ending all of them by force."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from app.services.hosts import Hosts
from app.services.leases import Claim
from workers.descendants import started_by

TORCHRUN = ("-m", "torch.distributed.run")
JOIN_S = 120  # for the other machines to come
SHUTDOWN_GRACE_S = 45.0  # for a last checkpoint; `inkling up` gives the worker a minute
TORCHRUN_S = 5.0  # of that, for torchrun itself


def start(command: Sequence[str], claim: Claim, traceparent: str | None = None) -> subprocess.Popen[bytes]:
    """The trainer of a claimed job, in a session of its own.

    Its input is a pipe whose other end is ours alone: it ends when we do, whichever way that is.

    Args:
        command: runs Python; the job's id and the fence are appended.
        traceparent: the span under which it tells what it does; None: no trace is made.
    """
    python, *rest = command
    if claim.devices > 1:
        grace = str(int(SHUTDOWN_GRACE_S - TORCHRUN_S))
        count = claim.devices if claim.hosts is None else claim.hosts.share(claim.devices)
        meeting = ("--standalone",) if claim.hosts is None else _meeting(claim, claim.hosts)
        rest = [*TORCHRUN, *meeting, "--nproc-per-node", str(count), "--shutdown-timeout", grace, *rest]
    traced = () if traceparent is None else ("--traceparent", traceparent)
    return subprocess.Popen(
        [python, *rest, claim.job_id, str(claim.fence), *traced], stdin=subprocess.PIPE, start_new_session=True
    )


def _meeting(claim: Claim, hosts: Hosts) -> tuple[str, ...]:
    """Options by which `torchrun` of each machine finds the others: numbered, so that the first process is the first's.

    The attempt's name keeps one that comes late, for an attempt that is over, from meeting those of the next.
    """
    return (
        *("--nnodes", str(hosts.taking_part(claim.devices)), "--node-rank", str(hosts.number)),
        *("--rdzv-backend", "static", "--rdzv-endpoint", hosts.rendezvous),
        *("--rdzv-id", f"{claim.job_id}-{claim.fence}", "--rdzv-conf", f"timeout={JOIN_S}"),
    )


def kill(trainer: subprocess.Popen[bytes]) -> None:
    """End the trainer and all it started, if it is still there."""
    if trainer.poll() is not None:
        return
    # What torchrun starts are sessions of their own.
    others = started_by(trainer.pid)
    os.killpg(trainer.pid, signal.SIGKILL)
    for pid in others:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    trainer.wait()
