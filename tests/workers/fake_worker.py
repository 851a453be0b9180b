"""The worker with the fake trainer: `celery -A tests.workers.fake_worker worker`, or run as `workers.main` is."""

from __future__ import annotations

import sys

from app.config import get_settings
from workers.process import make_worker, run

celery_app = make_worker(get_settings(), (sys.executable, "-m", "tests.workers.fake_trainer"))

if __name__ == "__main__":
    run(celery_app, watch_stdin=True)
