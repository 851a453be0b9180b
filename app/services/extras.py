"""Packages that are installed only where somebody asks for them: which are there. Imports none of them."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from app.errors import PackageMissing

LM_EVAL = "lm-eval"
INSTALL = "pip install -c constraints.txt -e '.[eval]'"


def lm_eval_version() -> str | None:
    """Of the extra `eval`; None where it is not installed."""
    try:
        return version(LM_EVAL)
    except PackageNotFoundError:
        return None


def need_lm_eval(param: str) -> None:
    """Pass where multiple choice can be measured; `param` is the field that asks for it.

    Raises:
        PackageMissing: `lm-eval` is not installed.
    """
    if lm_eval_version() is None:
        told = f"{LM_EVAL} measures multiple choice and is not installed here; in Inkling's folder: {INSTALL}"
        raise PackageMissing(f"{param}: {told}", param=param)
