"""Whose a key is, asked on behalf of an address that may be told so many times a minute that it has a wrong one.

Beyond that, none of its keys is looked at for the rest of the minute but those that were right here before: to look at
each and refuse only the wrong ones would let whoever tries them out go on, since the right one would still be told
apart, and to refuse the address altogether would lock out whoever works behind it, for one neighbour's old key. Keys
are too long to be guessed in any case; what is kept from it is the database, the log, and whoever leaves a key behind.
"""

from __future__ import annotations

from anyio import to_thread
from fastapi import Request

from app.api.limiting import subject_of
from app.errors import RateLimited
from app.services.keys import Caller
from app.services.limits import Limits, Window
from app.services.runtime import Runtime


async def holder(request: Request, key: str) -> Caller | None:
    """Whose the key is; None where it is unknown or revoked, which is counted.

    Raises:
        RateLimited: the address had as many wrong ones as a minute allows.
    """
    runtime: Runtime = request.app.state.runtime
    keys, limits, address = runtime.keys, runtime.limits, subject_of({"client": request.scope.get("client")})
    caller = keys.recall(key)
    if caller is not None:
        return caller
    if not keys.was_right(key):
        _pass(limits, await limits.look("wrong_keys", address))
    caller = await to_thread.run_sync(keys.look_up, key)
    if caller is None:
        _pass(limits, await limits.count("wrong_keys", address))
    return caller


def _pass(limits: Limits, window: Window | None) -> None:
    if window is None or not window.is_over:
        return
    limits.metrics.over_limit.labels("wrong_keys").inc()
    told = f"more than {window.limit:,} wrong keys a minute from this address; try again in {window.reset_s} s"
    raise RateLimited(told, retry_after_s=window.reset_s)
