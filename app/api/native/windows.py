"""POST /windows: the pairs and batches that a text gives to learn from."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Response

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.pieces import LONG, LongWorkDep, answer
from app.errors import DataMissing, DatasetNotFound, NoDiskSpace, TokenizerNotFound, TooLarge
from app.schemas.windows import WindowsIn, WindowsOut, written
from app.services import windows

router = APIRouter(tags=["data"])

_REFUSALS = refusals(TokenizerNotFound, DatasetNotFound, TooLarge, DataMissing, NoDiskSpace)


@router.post("/windows", response_model=WindowsOut, responses=_REFUSALS)
async def cut(body: WindowsIn, runtime: RuntimeDep, long_work: LongWorkDep) -> Response:
    """Inputs and targets by a sliding window, in batches, as the book's data loader gives them."""

    def begin() -> Iterator[bytes]:
        sampled = windows.sample(runtime, body)
        return written(sampled.head, sampled.shown(), has_more=sampled.has_more)

    size = len(body.text or body.ids or ())
    return await answer(begin, is_long=size > LONG or body.dataset is not None, long_work=long_work)
