"""Every refusal of the service: a code, an HTTP status, a message. Knows nothing of the web framework."""

from __future__ import annotations


class AppError(Exception):
    """A refusal that the caller can act upon.

    Args:
        message: what is wrong, with the offending value, for a person.
        param: the field of the request it is about, as a path like `train.batch_size`.
        retry_after_s: seconds after which a second try makes sense (429 and 503).
    """

    status: int = 500
    code: str = "internal_error"
    type: str = "server_error"

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s


class InvalidRequest(AppError):
    """A field is there and readable, but its value cannot be used."""

    status = 422
    code = "invalid_value"
    type = "invalid_request_error"


class UnknownField(InvalidRequest):
    """A field that is known, but not here."""

    code = "unknown_field"


class MalformedBody(InvalidRequest):
    status = 400
    code = "invalid_json"


class MissingField(InvalidRequest):
    """A field that is needed because of what another one says."""

    code = "missing_field"


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"


class UnknownWord(InvalidRequest):
    """A tokenizer without an unknown token met a word that is not in its vocabulary."""

    code = "unknown_word"


class TokenOutOfRange(InvalidRequest):
    code = "token_out_of_range"


class WrongModel(InvalidRequest):
    """The model is there, but of a kind that cannot do what is asked."""

    code = "wrong_model"


class NoChatTemplate(InvalidRequest):
    code = "no_chat_template"


class InvalidFile(InvalidRequest):
    """An uploaded file was read and found wanting (empty, not UTF-8, …)."""

    code = "invalid_file"


class DoesNotFit(InvalidRequest):
    """A job needs more memory than the machine has; `param` is the field to change."""

    code = "does_not_fit"


class InvalidApiKey(AppError):
    """No key, or none that we know."""

    status = 401
    code = "invalid_api_key"
    type = "invalid_request_error"


class MissingScope(AppError):
    """The key is known, but not for this."""

    status = 403
    code = "missing_scope"
    type = "invalid_request_error"


class ForeignRequest(AppError):
    """It comes with a page's session, but not from one of the pages."""

    status = 403
    code = "csrf_failed"
    type = "invalid_request_error"


class CrossSite(AppError):
    """A browser was sent here by a page of another site."""

    status = 403
    code = "cross_site"
    type = "invalid_request_error"


class BadHost(AppError):
    """The request does not say, in one way, which host it is for."""

    status = 400
    code = "bad_request"
    type = "invalid_request_error"


class UnknownHost(AppError):
    """It is for a host that we are not."""

    status = 421
    code = "unknown_host"
    type = "invalid_request_error"


class NotFound(AppError):
    status = 404
    code = "not_found"
    type = "not_found_error"


class TokenizerNotFound(NotFound):
    code = "tokenizer_not_found"


class ModelNotFound(NotFound):
    code = "model_not_found"


class DatasetNotFound(NotFound):
    code = "dataset_not_found"


class JobNotFound(NotFound):
    code = "job_not_found"


class ReportNotFound(NotFound):
    """The job or model is there, but no report of it is, or not yet."""

    code = "report_not_found"


class BranchNotFound(NotFound):
    code = "branch_not_found"


class KeyNotFound(NotFound):
    code = "key_not_found"


class CheckpointNotFound(NotFound):
    code = "checkpoint_not_found"


class DataMissing(AppError):
    """The name is known, but its data is not on this machine; the message says how to get it."""

    status = 424
    code = "data_missing"
    type = "data_missing_error"


class PackageMissing(AppError):
    """What is asked for needs a package that is installed only on request; the message says how."""

    status = 424
    code = "package_missing"
    type = "data_missing_error"


class Conflict(AppError):
    """The thing is in a state in which this cannot be done."""

    status = 409
    code = "conflict"
    type = "conflict_error"


class NameTaken(Conflict):
    code = "name_taken"


class BranchesFull(Conflict):
    """As many branches are kept as may be; some must be deleted first."""

    code = "branches_full"


class IdempotencyKeyReused(Conflict):
    """The key came before, with another body."""

    code = "idempotency_key_reused"


class TooLarge(AppError):
    status = 413
    code = "too_large"
    type = "invalid_request_error"


class UnsupportedFormat(AppError):
    status = 415
    code = "unsupported_format"
    type = "invalid_request_error"


class QueueFull(AppError):
    status = 429
    code = "queue_full"
    type = "rate_limit_error"


class RateLimited(AppError):
    """More than one key or address may ask for in a minute, or at once."""

    status = 429
    code = "rate_limit_exceeded"
    type = "rate_limit_error"


class QuotaExceeded(AppError):
    """More than one key may hold at a time; something has to go first."""

    status = 429
    code = "quota_exceeded"
    type = "rate_limit_error"


class NotReady(AppError):
    """Loading, draining, or a part that the service rests on is away."""

    status = 503
    code = "not_ready"
    type = "unavailable_error"


class HubUnreachable(AppError):
    """The public hub does not answer; the message says how to bring the files by hand."""

    status = 503
    code = "hub_unreachable"
    type = "unavailable_error"


class RemoteRefused(AppError):
    """The server that generates in our place refuses the request; message, status and code are its own."""

    status = 422
    code = "remote_refused"
    type = "invalid_request_error"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message, param=param, retry_after_s=retry_after_s)
        self.status, self.code, self.type = status, code or self.code, type or self.type


class RemoteFailed(AppError):
    """It answered with an error of its own, with what nobody can read, or broke off."""

    status = 502
    code = "remote_failed"
    type = "unavailable_error"


class RemoteUnavailable(AppError):
    """It cannot be reached, or says that it is not ready."""

    status = 503
    code = "remote_unavailable"
    type = "unavailable_error"


class RemoteTimeout(AppError):
    """It has not answered in the time that a request may take."""

    status = 504
    code = "remote_timeout"
    type = "unavailable_error"


class NoDiskSpace(AppError):
    status = 507
    code = "no_disk_space"
    type = "unavailable_error"
