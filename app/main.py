"""create_app(): settings, lifespan, routers, error handlers, static files."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from app.api import draining, errors, generating, held, openai, pages, pieces, uploads
from app.api.native import datasets as native_datasets
from app.api.native import model_files, routers
from app.api.request_log import RequestLog
from app.config import Settings, get_settings
from app.db.migrate import migrate_once_there
from app.services import datasets
from app.services.runtime import Runtime

STATIC = Path(__file__).resolve().parents[1] / "static"
JSON_OVERHEAD_BYTES = 1024 * 1024  # escapes and the fields beside the text


class Inkling(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        return RequestLog(draining.Draining(errors.OneShape(super().build_middleware_stack())))


@contextmanager
def _uploads_spooled_in(folder: Path) -> Iterator[None]:
    """Have a form's files wait where they will lie; the system's folder for temporary files may be memory."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _collect_garbage_less() -> None:
    """A body of a million lists has the collector look at all objects again and again, while everybody waits."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service, ready to be served by uvicorn. Settings are read from the environment unless given."""
    settings = settings or get_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime = Runtime.open(settings)
        await to_thread.run_sync(migrate_once_there, runtime.database)
        with runtime.database.write() as session:
            datasets.register_builtin(session, runtime.storage)
        app.state.runtime = runtime
        if runtime.remote is None:
            runtime.models.preload(settings.default_model)
        with _uploads_spooled_in(runtime.storage.spool):
            _collect_garbage_less()
            yield
        if runtime.remote is not None:
            await runtime.remote.close()
        runtime.close()

    app = Inkling(
        title="Inkling",
        summary="Text to tokens, tokens to text, and models trained on your own files.",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        max_body_size=6 * settings.max_text_bytes + JSON_OVERHEAD_BYTES,
    )
    app.state.long_work = CapacityLimiter(pieces.THREADS)
    app.state.receiving = CapacityLimiter(uploads.RECEIVED_AT_ONCE)
    app.state.places = held.Places()
    errors.install(app)
    body_sizes = {
        id(native_datasets.router): settings.max_upload_bytes + uploads.FORM_OVERHEAD_BYTES,
        id(openai.files.router): settings.max_upload_bytes + uploads.FORM_OVERHEAD_BYTES,
        id(model_files.router): settings.max_model_upload_bytes + model_files.FORM_OVERHEAD_BYTES,
    }
    for router in [*routers, *openai.training_routers, *generating.routers(is_remote=settings.remote_url is not None)]:
        app.include_router(router, max_body_size=body_sizes.get(id(router)), responses=errors.ALWAYS)
    app.include_router(pages.router)
    app.mount("/static/plotly", StaticFiles(packages=[("plotly", "package_data")]), name="plotly")
    app.mount("/static/swagger", StaticFiles(packages=[("fastapi_swagger", "resources")]), name="swagger")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
