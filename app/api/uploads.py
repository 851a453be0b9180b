"""What the routes that take datasets' files share: how many are read at once, how long a form is."""

from __future__ import annotations

from typing import Annotated, cast

from anyio import CapacityLimiter
from fastapi import Depends, Request

RECEIVED_AT_ONCE = 2  # each takes a thread, a Parquet file a process too, for as long as it is read
FORM_OVERHEAD_BYTES = 64 * 1024  # boundaries, headers and the short fields of an upload
MAX_FIELDS, MAX_FIELD_BYTES = 4, 4096  # of a form, beside its one file


async def get_receiving(request: Request) -> CapacityLimiter:
    return cast(CapacityLimiter, request.app.state.receiving)


ReceivingDep = Annotated[CapacityLimiter, Depends(get_receiving)]
"""How many threads may read uploads at once."""
