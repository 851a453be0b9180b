"""One site for all scenarios, the weights of an undisturbed run, and the table of what was done and what came of it."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from tests.e2e.faults.site import FULL, Site
from tests.proofs import Proof, table

Tell = Callable[[str, int, str], None]
HEAD = ("scenario", "count", "outcome")
_ROWS = pytest.StashKey[list[tuple[str, str, str]]]()
_PROOF = pytest.StashKey[Proof]()


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    if FULL:
        request.config.stash[_PROOF] = Proof()
    folder = Path(tempfile.mkdtemp(prefix="inkling-faults-"))
    made = Site(folder)
    try:
        made.open()
        yield made
    finally:
        made.close()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def weights(site: Site) -> str:
    """The hash of the weights that an undisturbed run ends with."""
    job_id = site.queue_job()
    row = site.until_status(job_id, "succeeded")
    assert row.attempt == 1
    return str(site.call("GET", f"/models/{row.name}")["sha256"])


@pytest.fixture
def dice() -> random.Random:
    """What draws the random moments; its seed is printed where a test fails, and can be given again."""
    seed = int(os.environ.get("INKLING_TEST_SEED") or secrets.randbelow(10**6))
    print(f"INKLING_TEST_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Tell:
    """Adds a line to the table: a scenario, how often it was played, what came of it."""
    rows = request.config.stash.setdefault(_ROWS, [])
    return lambda scenario, count, outcome: rows.append((scenario, str(count), outcome))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.config.stash.setdefault(_ROWS, []).append((item.name, "-", f"FAILED at {report.when}"))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rows = config.stash.get(_ROWS, [])
    if not rows:
        return
    told = table(HEAD, rows)
    terminalreporter.write_line(told)
    if _PROOF in config.stash:
        what = (
            "What befell jobs of 600 steps on PostgreSQL, Redis, a server and two workers of their own. After each, "
            "the weights were those of an undisturbed run to the last bit, no job was lost, none had two holders at "
            "once, and every checkpoint listed was whole."
        )
        config.stash[_PROOF].record("faults", what, told)
