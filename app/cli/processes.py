"""`inkling up`, `serve` and `worker`: the processes of the service. Celery and uvicorn are started by name."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from app.config import Settings, export, get_settings

Host = Annotated[str | None, typer.Option(help="Address to bind (INKLING_HOST).")]
Port = Annotated[int | None, typer.Option(help="Port to bind (INKLING_PORT).", min=1, max=65535)]
DataDir = Annotated[Path | None, typer.Option(help="Where everything is written (INKLING_DATA_DIR).")]

WORKER_GRACE_S = 60  # a trainer that is told to stop writes a checkpoint first
QUIET_S = 2  # of waiting for it before a line says so
RESTART_AFTER_S = 2.0


class CannotStart(Exception):
    """The service cannot start; the message says what to do."""


def up(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Start the server and one worker, and print the address. Ctrl-C or SIGTERM ends both."""
    settings = _settings(host, port, data_dir)
    if settings.node_rank:
        raise CannotStart("INKLING_NODE_RANK makes this machine follow another: `inkling worker` does that, and alone")
    listener = _listen(settings)
    worker_process = WorkerProcess()
    with _until_told_to_end():
        try:
            worker_process.start()
            _serve(settings, listener)
        finally:
            _end_undisturbed()
            worker_process.stop()


def serve(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Start the server alone. Ctrl-C or SIGTERM ends it."""
    settings = _settings(host, port, data_dir)
    with _until_told_to_end():
        _serve(settings, _listen(settings))


def worker(data_dir: DataDir = None) -> None:
    """Start one worker alone: it trains one job at a time, or follows the first of several machines."""
    settings = _settings(None, None, data_dir)
    program = "workers.companion" if settings.node_rank else "workers.main"
    os.execv(sys.executable, [sys.executable, "-m", program])  # nosec B606 # a program of ours


class WorkerProcess:
    """The worker beside the server: started again when it dies, ended when the server ends.

    It has the reading end of a pipe; when this process is gone, however it went, the pipe closes and the
    worker stops by itself.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._change = threading.Lock()  # so that none is started while the last one is being ended
        self._keeper = threading.Thread(target=self._keep, name="worker-keeper", daemon=True)

    def start(self) -> None:
        self._spawn()
        self._keeper.start()

    def stop(self) -> None:
        """Ask the worker to end and wait; it hands a running job back to the queue first."""
        with self._change:
            self._stopping.set()
            process = self._process
        if process is None:
            return
        _close_input(process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(QUIET_S)
            return
        typer.echo("inkling: waiting for the worker; a running job writes a checkpoint and is queued again", err=True)
        try:
            process.wait(WORKER_GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _spawn(self) -> None:
        # A session of its own: Ctrl-C in the terminal reaches this process alone, which then ends the worker.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.main", "--watch-stdin"], stdin=subprocess.PIPE, start_new_session=True
        )

    def _keep(self) -> None:
        while (process := self._process) and not self._stopping.is_set():
            status = process.wait()
            if self._stopping.wait(RESTART_AFTER_S):
                return
            with self._change:
                if not self._stopping.is_set():
                    typer.echo(f"inkling: the worker ended with status {status}; starting another", err=True)
                    _close_input(process)
                    self._spawn()


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin:
        process.stdin.close()


@contextmanager
def _until_told_to_end() -> Iterator[None]:
    """Within, SIGTERM does what Ctrl-C does, and neither is an error: the command ends with status 0.

    uvicorn raises the signal that ended it once more. With SIGTERM's own handler, that would end this process before
    it has ended what it started.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        yield


def _end_undisturbed() -> None:
    """From here on the way out is short and bounded: a second Ctrl-C would only leave processes behind."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _settings(host: str | None, port: int | None, data_dir: Path | None) -> Settings:
    """The environment's settings with the command's options over them, handed on to the processes started."""
    from app.services.tracing import need_installed  # late: other commands start without it

    given: dict[str, Any] = {"host": host, "port": port, "data_dir": data_dir}
    settings = get_settings(**{name: value for name, value in given.items() if value is not None})
    need_installed(settings)  # before a worker is started that could not be either
    export(settings)
    return settings


def _listen(settings: Settings) -> socket.socket:
    """Take the port now, so that a taken one is said before anything else is started."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise CannotStart(f"{settings.host} is no address of this machine: {error.strerror}") from None
    family, _, _, _, address = found[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose another with --port or INKLING_PORT"
        ) from None
    return listener


def _serve(settings: Settings, listener: socket.socket) -> None:
    from uvicorn.importer import import_from_string

    from app.cli.server import DrainingServer, config_of
    from app.log import configure_logging
    from app.services import memory

    memory.share_heaps()
    configure_logging(settings.log_level, settings.log_format)

    app = import_from_string("app.main:create_app")(settings)  # by name: commands know nothing of the app
    told = f"Inkling is at {settings.own_url}  (Ctrl-C ends it)"
    server = DrainingServer(config_of(settings, app), app, settings.drain_s, lambda: typer.echo(told))
    server.run(sockets=[listener])
    if not server.started:
        raise CannotStart("the server could not start; the lines above say why")
