"""Settings, database and data shared by all tests. Each test has a data directory and a database of its own."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
import structlog
from sqlalchemy import make_url

from app.config import Settings
from app.db.migrate import migrate
from app.db.session import Database
from app.llm.kernels.build import NoKernels, build
from tests.golden_facts import FACTS

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PROOFS = Path(__file__).resolve().parents[1] / "docs" / "proofs.md"
os.environ["INKLING_ALLOWED_HOSTS"] = "testserver"  # as Starlette's client calls each app
NOTHING_SKIPPED = os.environ.get("INKLING_TEST_ALL") == "1"  # set by .ci/run: a skip is then a failure


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--facts", action="store_true", help="list the book's facts and how their tests went")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Proofs take an hour and are asked for by name: no other run contains them, whatever else it selects."""
    proofs = [item for item in items if item.get_closest_marker("proof")]
    if proofs and "proof" not in config.getoption("markexpr"):
        config.hook.pytest_deselected(items=proofs)
        items[:] = [item for item in items if item not in proofs]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if not config.getoption("--facts"):
        return
    proofs = PROOFS.read_text()
    passed = {report.nodeid for report in terminalreporter.stats.get("passed", [])}
    for fact_id in FACTS.here():
        asked_by = FACTS.asked_by.get(fact_id, set())
        outcome = "pass" if asked_by and asked_by <= passed else "FAIL" if asked_by else "not checked"
        if not asked_by and f"## {fact_id}\n" in proofs:
            outcome = "by hand (docs/proofs.md)"
        terminalreporter.write_line(f"{fact_id:32} {outcome}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if NOTHING_SKIPPED and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} would be skipped ({call.excinfo and call.excinfo.value}), and nothing may be"
    return report


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets the log of it up; the next test has the log from before."""
    root, kept = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.configure(**kept)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The embedded default on an empty data directory and the CPU; nothing read from the environment or a .env file."""
    return Settings(
        _env_file=None, data_dir=tmp_path / "data", host="127.0.0.1", database_url="", broker_url="", device="cpu"
    )


@pytest.fixture
def database(settings: Settings) -> Iterator[Database]:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    made = Database(settings.effective_database_url)
    migrate(made)
    yield made
    made.dispose()


@pytest.fixture(scope="session")
def verdict() -> str:
    """*The Verdict*, the book's training text."""
    path = SHARED_DATA / "the-verdict.txt"
    if not path.exists():
        pytest.skip("needs the-verdict.txt of the shared data")
    return path.read_text()


@pytest.fixture(scope="session")
def shared_file() -> Callable[[str], Path]:
    """The path of a file of the shared data."""

    def path_of(name: str) -> Path:
        path = SHARED_DATA / name
        if not path.exists():
            pytest.skip(f"needs {name} of the shared data")
        return path

    return path_of


@pytest.fixture(scope="session")
def golden() -> Callable[[str], dict[str, Any]]:
    """A fact of the book by its id: `inputs`, `expected`, `tolerance`."""
    return FACTS.__getitem__


@pytest.fixture(scope="session")
def assets() -> Path:
    """The assets directory that `make install` fills: SmolLM2's GGUF, tiktoken's cache."""
    folder = Path(sys.prefix) / "share" / "inkling"
    if not (folder / "SmolLM2-135M-Instruct.Q4_1.gguf").exists():
        pytest.skip("needs the assets (`make assets`)")
    return folder


@pytest.fixture(scope="session")
def kernels() -> Path:
    """The folder of the C++ kernels, which `make install` builds."""
    folder = Path(sys.prefix) / "share" / "inkling" / "kernels"
    try:
        build(folder)
    except NoKernels as error:
        pytest.skip(f"needs a C++ compiler: {error}")
    return folder


POSTGRES = os.environ.get("INKLING_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
REDIS = os.environ.get("INKLING_TEST_REDIS", "redis://127.0.0.1:6379/15")
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))  # of pytest-xdist's, by number


@contextmanager
def a_postgres_database() -> Iterator[str]:
    """The address of a new, empty PostgreSQL database, dropped afterwards."""
    name = f"inkling_test_{uuid.uuid4().hex[:12]}"
    try:
        admin = psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3)
    except psycopg.OperationalError as error:
        pytest.skip(f"needs PostgreSQL: {error}")
    with admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url() -> Iterator[str]:
    with a_postgres_database() as url:
        yield url


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A Redis database that is empty, and emptied afterwards; each worker of pytest-xdist has its own."""
    base, _, number = REDIS.rpartition("/")
    url = f"{base}/{int(number) - WORKER}"
    client = redis.Redis.from_url(url, socket_connect_timeout=3)
    try:
        client.flushdb()
    except redis.ConnectionError as error:
        client.close()
        pytest.skip(f"needs Redis: {error}")
    yield url
    client.flushdb()
    client.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def any_database(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Database]:
    """The same test on both databases, migrated and empty."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    url = settings.effective_database_url
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    made = Database(url)
    migrate(made)
    yield made
    made.dispose()
