"""uvicorn's server, which at the end lets generations finish before it closes the port."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from app.cli.bounded_protocol import BoundedProtocol
from app.config import Settings

LOOK_EVERY_S = 0.05


def config_of(settings: Settings, app: FastAPI) -> uvicorn.Config:
    """How the service is served. What a proxy says of its client is believed of those that the settings name."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
        server_header=False,
        forwarded_allow_ips=settings.trusted_proxies,
    )


class DrainingServer(uvicorn.Server):
    """Told to end, it answers new requests with 503, and waits up to `drain_s` for those that are being written.

    Those that are not done by then end with what they have, as aborted. A second signal ends the waiting.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_s: float, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._app, self._drain_s, self._on_start = app, drain_s, on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.state.is_draining = True
        until = time.monotonic() + self._drain_s
        while time.monotonic() < until and not self.force_exit and not self._app.state.runtime.is_idle:
            await asyncio.sleep(LOOK_EVERY_S)
        if not self.force_exit:
            await (
                self._app.state.runtime.end_generations()
            )  # else their tasks are cancelled, and nobody hears of an end
        await super().shutdown(sockets)
