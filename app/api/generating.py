"""The routes that generate: with the engines of this process, or with a remote server under the same paths."""

from __future__ import annotations

from fastapi import APIRouter

from app.api import openai, remote
from app.api.native import generate


def routers(*, is_remote: bool) -> list[APIRouter]:
    """Those of one of the two."""
    return remote.routers if is_remote else [generate.router, *openai.routers]
