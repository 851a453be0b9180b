"""A dataset is encoded while somebody waits: what may come of it, told by the fields of the request."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager

from app.errors import DataMissing, InvalidRequest, NoDiskSpace, UnknownWord
from app.llm.errors import UnknownToken, UntokenizableText


@contextmanager
def refused(dataset: str | None, tokenizer: str) -> Generator[None]:
    """Turn what encoding raises into refusals.

    Args:
        dataset: the field that named the dataset; None: the path did.
        tokenizer: the field to change where the tokenizer cannot split the text.

    Raises:
        UnknownWord, InvalidRequest: it cannot.
        DataMissing: the dataset's file is gone.
        NoDiskSpace: there is no room for the tokens.
    """
    told = f"{dataset}: " if dataset else ""
    try:
        yield
    except UnknownToken as error:
        raise UnknownWord(f"{tokenizer}: {error}", param=tokenizer) from error
    except UntokenizableText as error:
        raise InvalidRequest(f"{tokenizer}: {error}", param=tokenizer) from error
    except FileNotFoundError as error:
        raise DataMissing(f"{told}the dataset's file is gone from the data directory", param=dataset) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoDiskSpace(f"{told}there is no room on the disk for its tokens", param=dataset) from error
        raise
