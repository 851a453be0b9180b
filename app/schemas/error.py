"""The one shape of every refusal."""

from __future__ import annotations

from pydantic import Field

from app.schemas.base import Out


class ErrorDetail(Out):
    message: str = Field(description="What is wrong, with the offending value, for a person.")
    type: str = Field(description="The kind of error, as `invalid_request_error`.")
    param: str | None = Field(description="The field it is about, as a path like `train.batch_size`.")
    code: str = Field(description="What a program goes by; docs/api.md lists them.")


class Error(Out):
    error: ErrorDetail
