"""What is said of a model that is not in memory yet, or cannot be brought there."""

from __future__ import annotations

from jinja2 import TemplateError

from app.errors import AppError, DataMissing, NotReady
from app.llm.errors import LLMError
from app.llm.progress import Progress
from app.services.model_files import Place

RETRY_AFTER_S = 5


def still_loading(name: str | None, progress: Progress | None) -> NotReady:
    """What a request is told that has waited for long enough."""
    how_far = f" ({progress})" if progress else ""
    message = f"model: {name or 'the default model'} is still being loaded{how_far}"
    return NotReady(message, param="model", retry_after_s=RETRY_AFTER_S)


def refusal_of(place: Place, error: Exception) -> Exception:
    """What the caller is told of a model that cannot be loaded."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, LLMError | FileNotFoundError | TemplateError):
        return DataMissing(f"model: the files of {place.name} cannot be used: {error}", param="model")
    return error
