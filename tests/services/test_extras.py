"""Packages on request: told with their version, and how to have them where they are not."""

from __future__ import annotations

import pytest

from app.errors import PackageMissing
from app.services import extras


def test_one_that_is_not_there_is_told_with_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "LM_EVAL", "no-such-package-of-anybody")
    assert extras.lm_eval_version() is None
    with pytest.raises(PackageMissing, match=r"evaluate\.kind: .*pip install .*\[eval\]") as refused:
        extras.need_lm_eval("evaluate.kind")
    assert refused.value.param == "evaluate.kind"


def test_one_that_is_there_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "LM_EVAL", "pytest")
    assert extras.lm_eval_version() == pytest.__version__
    extras.need_lm_eval("evaluate.kind")
