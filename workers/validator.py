"""Reads the texts of one job that is not queued yet: `python -m workers.validator JOB FENCE`, started by the worker."""

from __future__ import annotations

import os
import sys
import threading

from workers.attempt import begin


def main() -> int:
    """Read, and say in the job's row what came of it; ends at once when the worker is gone."""
    attempt = begin("workers.validator", "Read the texts of one job.")
    threading.Thread(target=_end_with_input, name="stdin", daemon=True).start()

    from app.services import job_validation
    from app.services.runtime import Runtime

    runtime = Runtime.open(attempt.settings)
    try:
        job_validation.validate(runtime, attempt.job_id, attempt.fence)
    finally:
        runtime.close()
    return 0


def _end_with_input() -> None:
    """Standard input is a pipe from the worker; it ends when the worker does, or wants this to end."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
