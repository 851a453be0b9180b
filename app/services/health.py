"""Whether this process can do its work now, part by part. Asks; changes nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.services.runtime import Runtime


@dataclass(frozen=True)
class Part:
    """One thing that requests rest on."""

    ready: bool
    detail: str | None = None


async def readiness(runtime: Runtime) -> dict[str, Part]:
    """The database, the broker, and what generates (the default model, or the remote server): ready, or why not."""
    database, broker = await asyncio.gather(asyncio.to_thread(_database, runtime), asyncio.to_thread(_broker, runtime))
    parts = {"database": database, "broker": broker}
    if runtime.remote is not None:
        problem = await runtime.remote.problem()
        return parts | {"remote": Part(problem is None, problem)}
    problem = runtime.models.default_problem
    return parts | {"model": Part(problem is None, problem and f"{runtime.settings.default_model}: {problem}")}


def _database(runtime: Runtime) -> Part:
    try:
        with runtime.database.read() as session:
            session.execute(text("SELECT version_num FROM alembic_version"))  # a constant needs no file and no lock
    except SQLAlchemyError as error:
        return Part(False, f"does not answer ({type(error).__name__})")
    return Part(True)


def _broker(runtime: Runtime) -> Part:
    try:
        runtime.nudger.check()
    except (BrokerError, OSError) as error:
        return Part(False, f"does not answer ({type(error).__name__}); jobs wait in the database meanwhile")
    return Part(True)
