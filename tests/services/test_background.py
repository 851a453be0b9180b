"""Work beside the requests, and the end of the process."""

import threading
import time

from app.services.background import Background


def test_closing_waits_for_what_was_begun_and_for_what_that_begins() -> None:
    background, done = Background(), []

    def first() -> None:
        time.sleep(0.05)
        background.begin("second", lambda: (time.sleep(0.05), done.append("second")))
        done.append("first")

    background.begin("first", first)
    background.close()
    assert done == ["first", "second"]


def test_closing_does_not_wait_for_ever() -> None:
    background, may_end = Background(), threading.Event()
    background.begin("endless", may_end.wait)
    started = time.monotonic()
    background.close(within_s=0.1)
    assert time.monotonic() - started < 5
    may_end.set()
    background.close()
