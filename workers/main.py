"""The worker: `python -m workers.main [--watch-stdin]`, or `celery -A workers.main worker`.

Imports no torch: a worker starts quickly, stays small, and outlives its trainers.
"""

from __future__ import annotations

import argparse

from app.config import get_settings
from workers.process import make_worker, run

celery_app = make_worker(get_settings())


def main() -> None:
    """Run the worker until it is told to end by SIGTERM or Ctrl-C; a running job goes back to the queue."""
    parser = argparse.ArgumentParser(prog="python -m workers.main", description="Run one worker.")
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input reaches its end")
    run(celery_app, watch_stdin=parser.parse_args().watch_stdin)


if __name__ == "__main__":
    main()
