"""What the remote server refuses, and what breaks on the way to it, as refusals of our own.

Its 4xx are passed on with what they say. Its own failures are told without their text, which is for its log.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from app.errors import AppError, RemoteFailed, RemoteRefused, RemoteTimeout, RemoteUnavailable
from app.log import get_logger
from app.schemas.remote import RemoteError

log = get_logger(__name__)

RETRY_AFTER_S = 5
MAX_MESSAGE_CHARACTERS = 2000
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAMES = {
    400: ("invalid_value", "invalid_request_error"),
    404: ("not_found", "not_found_error"),
    409: ("conflict", "conflict_error"),
    413: ("too_large", "invalid_request_error"),
    415: ("unsupported_format", "invalid_request_error"),
    422: ("invalid_value", "invalid_request_error"),
    429: ("queue_full", "rate_limit_error"),
}
KEY_REFUSED = (401, 407)
NOT_READY = (503, 529)


def refusal_of(response: httpx.Response, content: bytes, secret: str) -> AppError:
    """What an answer that is no success means to our caller.

    Args:
        content: its body.
        secret: the key that was sent, which no message may repeat.
    """
    status = response.status_code
    told = _error_of(content)
    message = _without(secret, told.message)[:MAX_MESSAGE_CHARACTERS] if told else f"it answered {status}"
    log.warning("remote_refused", status=status, path=response.url.path, error=message)
    if status in KEY_REFUSED:
        return RemoteFailed(f"the generation backend does not take our key (INKLING_GENERATION_API_KEY): {status}")
    if 400 <= status < 500:
        code, kind = _NAMES.get(status, (None, None))
        own = told.code if told and _CODE.fullmatch(told.code or "") else None
        return RemoteRefused(
            message,
            status=422 if status == 400 else status,  # ours for a field that is wrong; /v1 makes it 400 again
            code=own or code,
            type=kind,
            param=_without(secret, told.param) if told and told.param else None,
            retry_after_s=_retry_after_s(response) if status == 429 else None,
        )
    if status in NOT_READY:
        told_why = f"the generation backend is not ready: {message}"
        return RemoteUnavailable(told_why, retry_after_s=_retry_after_s(response))
    return RemoteFailed(f"the generation backend failed: it answered {status}", retry_after_s=RETRY_AFTER_S)


def stream_failure(data: str, secret: str) -> RemoteFailed | None:
    """What an event of a stream says of a failure; None where it says nothing of one."""
    try:
        event = json.loads(data)
        if not isinstance(event, dict) or not event.get("error"):
            return None
        told = RemoteError.of(event)
    except (ValueError, RecursionError) as error:
        raise unreadable("an event that is no JSON") from error
    message = _without(secret, told.message)[:MAX_MESSAGE_CHARACTERS] if told else "it did not say why"
    log.warning("remote_failed", error=message)
    return RemoteFailed(f"the generation backend failed while it wrote this: {message}")


def unreadable(what: str) -> RemoteFailed:
    return RemoteFailed(f"the generation backend answered with {what}", retry_after_s=RETRY_AFTER_S)


@contextmanager
def in_words(timeout_s: float) -> Iterator[None]:
    """Within, what breaks on the way to the remote, or takes longer than `timeout_s`, becomes an `AppError`."""
    try:
        yield
    except TimeoutError:
        log.warning("remote_timeout", timeout_s=timeout_s)
        message = f"the generation backend has not answered within {timeout_s:g} s"
        raise RemoteTimeout(message, retry_after_s=RETRY_AFTER_S) from None
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        log.warning("remote_unavailable", error=str(error))
        message = "the generation backend (INKLING_GENERATION_BACKEND) cannot be reached; try again"
        raise RemoteUnavailable(message, retry_after_s=RETRY_AFTER_S) from error
    except httpx.HTTPError as error:
        log.warning("remote_broke_off", error=str(error), kind=type(error).__name__)
        message = f"the connection to the generation backend broke off ({type(error).__name__})"
        raise RemoteFailed(message, retry_after_s=RETRY_AFTER_S) from error


def _error_of(content: bytes) -> RemoteError | None:
    try:
        return RemoteError.of(json.loads(content))
    except (ValueError, RecursionError):  # no JSON, or too deep; what stands there may be a proxy's page
        return None


def _without(secret: str, text: str) -> str:
    return text.replace(secret, "…") if secret else text


def _retry_after_s(response: httpx.Response) -> int:
    told = response.headers.get("retry-after", "")
    return max(1, int(told)) if told.isdecimal() and len(told) < 6 else RETRY_AFTER_S
