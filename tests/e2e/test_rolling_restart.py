"""Two web servers behind nginx and three workers, each ended and started again under load: nothing is lost."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import ROOT, Service, free_port, start_service

pytestmark = [pytest.mark.e2e, pytest.mark.services]

NGINX = ROOT / "deploy" / "nginx" / "inkling.conf"
MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream inkling {{
{servers}
    }}
    include {folder}/inkling.conf;
}}
"""
TOKENIZER = "tides"
JOB = {
    "recipe": "pretrain",
    "dataset": "the-tide-clock",
    "tokenizer": TOKENIZER,
    "model": {"preset": "gpt-tiny", "context_length": 32, "emb_dim": 32, "n_heads": 2, "n_layers": 1},
    "train": {"max_steps": 600, "batch_size": 4, "context_length": 32, "checkpoint_every": 50}
    | dict.fromkeys(("eval_every", "sample_every"), 600),
}
PATIENCE_S = 180
TOKENS = 60
MODEL = "smollm2-135m-instruct"
SETTINGS = {"drain_s": "120", "threads": "1", "train_threads": "1", "log_level": "WARNING"}


class Workers:
    """Three workers, each of which can be ended as an operator ends it."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._log, self._environment = (folder / "workers.log").open("ab"), environment
        self.running = [self._start() for _ in range(3)]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "app.cli", "worker"]
        return subprocess.Popen(command, env=self._environment, cwd=ROOT, stdout=self._log, stderr=self._log)

    def restart(self, i: int) -> None:
        end(self.running[i])
        self.running[i] = self._start()

    def close(self) -> None:
        for worker in self.running:
            end(worker)
        self._log.close()


def end(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(PATIENCE_S)


@pytest.fixture
def stores(postgres_url: str, redis_url: str, tmp_path: Path) -> dict[str, str]:
    return SETTINGS | {"database_url": postgres_url, "broker_url": redis_url, "data_dir": str(tmp_path / "data")}


@pytest.fixture
def servers(stores: dict[str, str], tmp_path: Path, assets: Path) -> Iterator[list[Service]]:
    running = [start_service(tmp_path, "serve", **stores) for _ in range(2)]
    yield running
    for service in running:
        service.stop()


@pytest.fixture
def workers(servers: list[Service], stores: dict[str, str], tmp_path: Path) -> Iterator[Workers]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("INKLING_")}
    running = Workers(tmp_path, plain | {f"INKLING_{name.upper()}": value for name, value in stores.items()})
    yield running
    running.close()


@pytest.fixture
def proxy(servers: list[Service], tmp_path: Path) -> Iterator[str]:
    """Debian's nginx with the file of `deploy/nginx` before both servers; its address."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("needs nginx")
    port, folder = free_port(), tmp_path / "nginx"
    folder.mkdir()
    (folder / "inkling.conf").write_text(NGINX.read_text().replace("listen 8080", f"listen 127.0.0.1:{port}"))
    lines = "\n".join(f"        server {service.url.removeprefix('http://')} max_fails=0;" for service in servers)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder, servers=lines))
    with subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf", "-g", "user root;"]) as process:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while not answers(url):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
        yield url
        process.send_signal(signal.SIGTERM)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


class Load:
    """Clients that go on asking until told to stop; each answer that is not whole is a failure."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, threading.Event()
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []
        self.jobs: list[str] = []
        self._names = (f"rolled-{i}" for i in itertools.count())
        kinds = [self._stream, self._stream, self._tokenize, self._read, self._queue]
        self._pool = ThreadPoolExecutor(len(kinds))
        for kind in kinds:
            self._pool.submit(self._go_on, kind)

    def stop(self) -> None:
        self._over.set()
        self._pool.shutdown()

    def until(self, count: int) -> None:
        """Wait until so many more of each kind were answered."""
        before = self.done.copy()
        deadline = time.monotonic() + PATIENCE_S
        while any(self.done[kind] < before[kind] + count for kind in ("_stream", "_tokenize", "_read")):
            assert time.monotonic() < deadline, (self.done, self.failed)
            time.sleep(0.1)

    def _go_on(self, ask: Callable[[httpx.Client], None]) -> None:
        with httpx.Client(base_url=self._url, timeout=PATIENCE_S) as client:
            while not self._over.is_set():
                try:
                    ask(client)
                except (httpx.HTTPError, AssertionError, KeyError) as error:
                    self.failed.append(f"{ask.__name__}: {error!r}")
                self.done[ask.__name__] += 1
                time.sleep(0.02)

    def _stream(self, client: httpx.Client) -> None:
        body = {"model": MODEL, "prompt": "The sea was", "max_tokens": TOKENS, "stream": True, "temperature": 0.8}
        with client.stream("POST", "/v1/completions", json=body) as answer:
            answer.raise_for_status()
            events = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
        assert events[-1] == "[DONE]", events[-1]
        reasons = [choice["finish_reason"] for event in events[:-1] for choice in json.loads(event)["choices"]]
        assert reasons[-1] in ("length", "stop"), reasons[-1]

    def _tokenize(self, client: httpx.Client) -> None:
        answer = client.post("/tokenize", json={"text": "The sea was calm."}).raise_for_status()
        assert answer.json()["count"] == 5

    def _read(self, client: httpx.Client) -> None:
        client.get("/jobs").raise_for_status()

    def _queue(self, client: httpx.Client) -> None:
        """A job now and then; three at work at a time."""
        running = client.get("/jobs?status=running").raise_for_status().json()["data"]
        if len(running) < 3 and len(self.jobs) < 6:
            made = client.post("/jobs", json=JOB | {"name": next(self._names)}).raise_for_status()
            self.jobs.append(made.json()["id"])
        time.sleep(0.3)


def restart(servers: list[Service], i: int, stores: dict[str, str], folder: Path) -> None:
    port = servers[i].url.rpartition(":")[2]
    assert end(servers[i].process) == 0, servers[i].log.read_text()
    servers[i] = start_service(folder, "serve", port=port, **stores)


@pytest.mark.timeout(600)
def test_a_rolling_restart_loses_no_request_and_no_job(
    proxy: str, servers: list[Service], workers: Workers, stores: dict[str, str], tmp_path: Path
) -> None:
    words = {"name": TOKENIZER, "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    httpx.post(f"{proxy}/tokenizers", json=words, timeout=60).raise_for_status()
    load = Load(proxy)
    try:
        load.until(2)
        for i in range(2):
            restart(servers, i, stores, tmp_path)
            load.until(2)
        for i in range(3):
            workers.restart(i)
        load.until(2)
    finally:
        load.stop()
    assert load.failed == []
    assert len(load.jobs) >= 3
    for job in load.jobs:
        assert ended(proxy, job)["status"] == "succeeded"
    assert sum(httpx.get(f"{proxy}/jobs/{job}").json()["attempt"] for job in load.jobs) > len(load.jobs)


def ended(url: str, job: str) -> dict[str, str]:
    deadline = time.monotonic() + 2 * PATIENCE_S
    while True:
        row: dict[str, str] = httpx.get(f"{url}/jobs/{job}", timeout=60).raise_for_status().json()
        if row["status"] not in ("validating_files", "queued", "running"):
            return row
        assert time.monotonic() < deadline, row
        time.sleep(0.3)
