"""What encoding raises, told by the fields of the request that waits for it."""

from __future__ import annotations

import errno

import pytest

from app.errors import AppError
from app.llm.errors import UnknownToken, UntokenizableText
from app.services.encoding import refused


@pytest.mark.parametrize(
    ("raised", "code", "param"),
    [
        (UnknownToken("no word"), "unknown_word", "tokenizer"),
        (UntokenizableText("no text"), "invalid_value", "tokenizer"),
        (FileNotFoundError(), "data_missing", "dataset"),
        (OSError(errno.ENOSPC, "full"), "no_disk_space", "dataset"),
        (OSError(errno.EDQUOT, "full"), "no_disk_space", "dataset"),
    ],
)
def test_each_is_a_refusal(raised: Exception, code: str, param: str) -> None:
    with pytest.raises(AppError) as refusal, refused("dataset", "tokenizer"):
        raise raised
    assert (refusal.value.code, refusal.value.param) == (code, param)


def test_another_failure_of_the_disk_stays_one() -> None:
    with pytest.raises(OSError, match="Input/output"), refused(None, "tokenizer"):
        raise OSError(errno.EIO, "Input/output error")
