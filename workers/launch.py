"""Starting a trainer, or `torchrun` with one for each device of its job, and ending all of them by force."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress

from app.services.leases import Claim
from workers.descendants import started_by

TORCHRUN = ("-m", "torch.distributed.run", "--standalone")
SHUTDOWN_GRACE_S = 45.0  # for a last checkpoint; `inkling up` gives the worker a minute
TORCHRUN_S = 5.0  # of that, for torchrun itself


def start(command: Sequence[str], claim: Claim) -> subprocess.Popen[bytes]:
    """The trainer of a claimed job, in a session of its own.

    Its input is a pipe whose other end is ours alone: it ends when we do, whichever way that is.

    Args:
        command: runs Python; the job's id and the fence are appended.
    """
    python, *rest = command
    if claim.devices > 1:
        grace = str(int(SHUTDOWN_GRACE_S - TORCHRUN_S))
        rest = [*TORCHRUN, "--nproc-per-node", str(claim.devices), "--shutdown-timeout", grace, *rest]
    return subprocess.Popen(
        [python, *rest, claim.job_id, str(claim.fence)], stdin=subprocess.PIPE, start_new_session=True
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
