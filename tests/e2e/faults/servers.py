"""A PostgreSQL and a Redis of one's own, on free ports, to be stopped, killed, wiped and restored."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
import redis

from tests.e2e.conftest import free_port

DATABASE = "inkling"


class Postgres:
    """A cluster in a folder of its own. Root may not run it, and lends it to the user `postgres`."""

    def __init__(self, folder: Path) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not found:
            pytest.skip("needs PostgreSQL's programs (Debian: postgresql)")
        self._programs = found[-1].parent
        self._as_owner = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        self._folder = folder
        self.port = free_port()
        folder.mkdir(mode=0o700)
        if self._as_owner:
            shutil.chown(folder, "postgres")
        self._run("initdb", "-D", str(folder), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8",
                  "--no-sync")  # fmt: skip
        self.start()
        self.create()

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder}"
        self._run("pg_ctl", "-D", str(self._folder), "-l", str(self._folder / "log"), "-w", "-o", options, "start")

    def stop(self) -> None:
        """As `kill -9` would end it: no connection is told, the log is replayed at the next start."""
        if (self._folder / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self._folder), "-m", "immediate", "-w", "stop")

    def create(self) -> None:
        with psycopg.connect(self.url.replace(DATABASE, "postgres"), autocommit=True) as admin:
            admin.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            admin.execute(f"CREATE DATABASE {DATABASE}")

    def back_up(self, file: Path) -> None:
        with file.open("wb") as output:
            subprocess.run([self._programs / "pg_dump", "-Fc", self.url], stdout=output, check=True)

    def restore(self, file: Path) -> None:
        """Put back what `back_up` saved; what came after it is gone."""
        self.create()
        subprocess.run([self._programs / "pg_restore", "-d", self.url, file], check=True)

    def _run(self, program: str, *arguments: str) -> None:
        # Into a file, not a pipe: the server that pg_ctl leaves behind would hold the pipe open.
        log = self._folder.with_suffix(".log")
        with log.open("ab") as output:
            command = [*self._as_owner, str(self._programs / program), *arguments]
            done = subprocess.run(command, stdout=output, stderr=output, cwd="/", check=False)
        assert done.returncode == 0, f"{program}:\n{log.read_text()}"


class Redis:
    """A broker that keeps what it was given across a restart, as the containers' does."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("needs redis-server")
        self._folder = folder
        self.port = free_port()
        folder.mkdir(mode=0o700)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = ["redis-server", "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self._folder)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([*command, "--save", "", "--appendonly", "yes"], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, (self._folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def wipe(self) -> int:
        """Forget everything; how many nudges were waiting."""
        with redis.Redis.from_url(self.url) as client:
            waiting = client.llen("inkling")
            client.flushall()
            assert isinstance(waiting, int)
            return waiting

    def hang_up(self) -> None:
        """Close the connections of all clients; they come again when they can."""
        with redis.Redis.from_url(self.url) as client:
            client.client_kill_filter(_type="normal", skipme=True)

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
