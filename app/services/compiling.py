"""Whether a network can be compiled where it is to learn: torch.compile writes C++, and Triton for a CUDA device."""

from __future__ import annotations

from importlib.util import find_spec

from app.config import Settings
from app.errors import InvalidRequest
from app.llm.kernels.build import compiler


class CompilerMissing(InvalidRequest):
    """A job asks for compilation where nothing compiles."""

    code = "compiler_missing"


def check(device: str = "cpu") -> None:
    """Pass where torch.compile finds what it needs for a kind of device on this machine.

    Raises:
        CompilerMissing: it does not.
    """
    if compiler() is None:
        raise _missing("no C++ compiler (g++)")
    if device == "cuda" and find_spec("triton") is None:
        raise _missing("no Triton (it comes with torch's CUDA builds)")


def check_workers(settings: Settings) -> None:
    """As `check`, where the workers are known to be on this machine; elsewhere only they can tell.

    Raises:
        CompilerMissing: there is no compiler for them.
    """
    if not settings.broker_url:
        check()


def _missing(what: str) -> CompilerMissing:
    return CompilerMissing(f"train.compile: there is {what} on this machine; leave it out", param="train.compile")
