"""create_app(): settings, lifespan, routers, error handlers, static files."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from app.api import (
    access,
    cross_site,
    document,
    draining,
    errors,
    generating,
    held,
    key_scheme,
    openai,
    pages,
    pieces,
    uploads,
)
from app.api.audit_log import AuditLog
from app.api.limiting import Limiting
from app.api.native import datasets as native_datasets
from app.api.native import model_files, routers
from app.api.own_hosts import OwnHosts
from app.api.plain_bodies import PlainBodies
from app.api.request_log import RequestLog
from app.api.request_spans import spans_of_requests
from app.api.safe_headers import SafeHeaders
from app.config import Settings, get_settings
from app.db.migrate import migrate_once_there
from app.services import datasets, keys
from app.services.limits import is_any_rate_limited
from app.services.runtime import Runtime
from app.services.tracing import open_tracing

STATIC = Path(__file__).resolve().parents[1] / "static"
JSON_OVERHEAD_BYTES = 1024 * 1024  # escapes and the fields beside the text


class Inkling(FastAPI):
    """FastAPI with what lies around all its answers, those to what breaks among them; first of `door` is outermost."""

    def __init__(self, *, door: Sequence[Middleware] = (), needs_keys: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._door, self._needs_keys = door, needs_keys

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            found = document.complete(super().openapi())
            self.openapi_schema = key_scheme.add(found) if self._needs_keys else found
        return self.openapi_schema

    def build_middleware_stack(self) -> ASGIApp:
        stack: ASGIApp = draining.Draining(errors.OneShape(super().build_middleware_stack()))
        for each in reversed(self._door):
            stack = each.cls(stack, *each.args, **each.kwargs)
        return RequestLog(SafeHeaders(stack))


def _door(settings: Settings) -> list[Middleware]:
    """Who is let in at all, before keys are looked at."""
    door = [Middleware(AuditLog)] if settings.audit_days else []
    door.append(Middleware(OwnHosts, settings))
    if settings.origins:
        door.append(Middleware(cross_site.AllowedOrigins, settings.origins))
    return [*door, Middleware(cross_site.SameSite, settings.origins), Middleware(PlainBodies)]


@contextmanager
def _uploads_spooled_in(folder: Path) -> Iterator[None]:
    """Have a form's files wait where they will lie; the system's folder for temporary files may be memory."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _make_first_key(runtime: Runtime) -> None:
    """Where there was never a key nobody could come in: one is made, and told on standard output, not in the log."""
    with runtime.database.write() as session:
        made = keys.create_first(session)
    if made is not None:
        print(f"The first key, for an admin, shown this once: {made.secret}", flush=True)


def _collect_garbage_less() -> None:
    """A body of a million lists has the collector look at all objects again and again, while everybody waits."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _close(runtime: Runtime) -> None:
    if runtime.remote is not None:
        await runtime.remote.close()
    await runtime.limits.close()
    runtime.close()
    await to_thread.run_sync(runtime.tracing.end)


def _guard(app: FastAPI, settings: Settings) -> None:
    """Whose request it is, and then how much they have asked for already. What is added last is outermost."""
    if is_any_rate_limited(settings):
        app.add_middleware(Limiting)
    if settings.keys_required:
        app.add_middleware(access.KeyCheck)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The service, ready to be served by uvicorn. Settings are read from the environment unless given."""
    settings = settings or get_settings()
    tracing = open_tracing(settings, "inkling-web")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        runtime = Runtime.open(settings, tracing)
        await to_thread.run_sync(migrate_once_there, runtime.database)
        with runtime.database.write() as session:
            datasets.register_builtin(session, runtime.storage)
        if settings.keys_required:
            _make_first_key(runtime)
        app.state.runtime = runtime
        if runtime.remote is None:
            runtime.models.preload(settings.default_model)
        with _uploads_spooled_in(runtime.storage.spool):
            _collect_garbage_less()
            yield
        await _close(runtime)

    app = Inkling(
        title="Inkling",
        summary="Text to tokens, tokens to text, and models trained on your own files.",
        version="0.1.0",
        lifespan=lifespan,
        needs_keys=settings.keys_required,
        door=_door(settings),
        docs_url=None,
        redoc_url=None,
        telemetry=spans_of_requests(tracing),
        max_body_size=6 * settings.max_text_bytes + JSON_OVERHEAD_BYTES,
    )
    app.state.long_work = CapacityLimiter(pieces.THREADS)
    app.state.receiving = CapacityLimiter(uploads.RECEIVED_AT_ONCE)
    app.state.places = held.Places()
    errors.install(app)
    _guard(app, settings)
    body_sizes = {
        id(native_datasets.router): settings.max_upload_bytes + uploads.FORM_OVERHEAD_BYTES,
        id(openai.files.router): settings.max_upload_bytes + uploads.FORM_OVERHEAD_BYTES,
        id(model_files.router): settings.max_model_upload_bytes + model_files.FORM_OVERHEAD_BYTES,
    }
    for router in [*routers, *openai.training_routers, *generating.routers(is_remote=settings.remote_url is not None)]:
        app.include_router(router, max_body_size=body_sizes.get(id(router)), responses=errors.ALWAYS)
    app.include_router(pages.datasets.receiving_router, max_body_size=body_sizes[id(native_datasets.router)])
    app.include_router(pages.router)
    app.mount("/static/plotly", StaticFiles(packages=[("plotly", "package_data")]), name="plotly")
    app.mount("/static/swagger", StaticFiles(packages=[("fastapi_swagger", "resources")]), name="swagger")
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return app
