"""What the end of a trainer says."""

from __future__ import annotations

import signal

from app.services.leases import Loss

FORCED_EXIT = 70  # of a trainer that had to end itself by force


def loss(status: int) -> Loss:
    """What the exit status of a trainer says that did not end its job; negative: the signal that ended it."""
    if status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return Loss("killed", "the trainer was killed, as happens when memory runs out")
    if status == FORCED_EXIT:
        return Loss("stuck", "the trainer was asked to end and did not, or made no step for very long")
    if status < 0:
        return Loss("crashed", f"the trainer was ended by {signal.Signals(-status).name}")
    return Loss("crashed", f"the trainer ended with status {status} before its job was done; the worker's log says why")
