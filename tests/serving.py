"""The routes of models, metrics, generation, embeddings and inspection, in a real server, around any runtime."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from anyio import CapacityLimiter
from fastapi import FastAPI
from starlette.types import ASGIApp

from app.api import errors, generating, held, pieces
from app.api.native import classify, embeddings, health, inspect, job_metrics, model_files, models, reports, tokens
from app.main import Inkling
from app.services.runtime import Runtime


def app_of(runtime: Runtime) -> FastAPI:
    """The routes of models, metrics, generation and inspection around a runtime."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        if runtime.remote is not None:
            await runtime.remote.close()

    app = Inkling(max_body_size=6 * runtime.settings.max_text_bytes + 1024 * 1024, lifespan=lifespan)
    errors.install(app)
    app.state.runtime = runtime
    app.state.places = held.Places()
    app.state.long_work = CapacityLimiter(pieces.THREADS)
    for module in (classify, embeddings, inspect, job_metrics, model_files, models, reports, health, tokens):
        app.include_router(module.router)
    for router in generating.routers(is_remote=runtime.remote is not None):
        app.include_router(router)
    return app


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """The app behind a real uvicorn, in a thread; gives the port."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="on", log_config=None, timeout_graceful_shutdown=2)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(10)
