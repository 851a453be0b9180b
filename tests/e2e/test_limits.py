"""Limits over two web processes that share a Redis, and while it is gone."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import free_port, start_service

pytestmark = [pytest.mark.e2e, pytest.mark.services]


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A Redis that a test may end."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server")
    port = free_port()
    process = subprocess.Popen(
        [program, "--port", str(port), "--save", "", "--dir", tmp_path], stdout=subprocess.DEVNULL
    )
    yield f"redis://127.0.0.1:{port}/0", process
    process.kill()
    process.wait()


@pytest.fixture
def webs(tmp_path: Path, redis_server: tuple[str, subprocess.Popen[bytes]]) -> Iterator[list[str]]:
    """Two of `inkling serve` on one data directory, five requests a minute, without a model."""
    chosen = {"broker_url": redis_server[0], "limit_requests": "5"}
    with ExitStack() as stack:
        started = []
        for _ in range(2):
            started.append(start_service(tmp_path, "serve", is_bare=True, **chosen))
            stack.callback(started[-1].stop)
        yield [each.url for each in started]


def test_two_processes_count_together_and_alone_when_redis_is_gone(
    webs: list[str], redis_server: tuple[str, subprocess.Popen[bytes]]
) -> None:
    statuses = [httpx.get(f"{webs[turn % 2]}/datasets", timeout=30).status_code for turn in range(7)]
    assert statuses == [200] * 5 + [429] * 2
    redis_server[1].kill()
    redis_server[1].wait()
    for url in webs:
        alone = [httpx.get(f"{url}/datasets", timeout=30).status_code for _ in range(7)]
        assert alone == [200] * 5 + [429] * 2
        figures = httpx.get(f"{url}/metrics", timeout=30).text
        assert "inkling_limit_store_errors_total 1.0" in figures
        assert 'inkling_over_limit_total{limit="requests"}' in figures
