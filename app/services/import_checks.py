"""What is asked of an import before weights are read or moved: a free name, files that agree, room on the disk.

Knows what an import is asked to make, and how a refusal of the library is told.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.orm import Session

from app.db.tables import job as job_table
from app.db.tables import model as model_table
from app.errors import InvalidFile, InvalidRequest, ModelNotFound, NameTaken, NoDiskSpace
from app.llm.errors import BadConfig, BadVocabulary, BadWeights
from app.schemas.model import Licence
from app.services import quotas
from app.services.chat import check_template
from app.services.import_files import CONFIGS, Files, look_beside
from app.services.runtime import Runtime
from app.services.storage import Storage, check_model_name

if TYPE_CHECKING:
    from app.services.import_tokenizer import ImportedTokenizer

SPARE_DISK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Wanted:
    """What an import is asked to make."""

    name: str
    tokenizer: str | None
    licence: str | None
    param: str
    """The field of the request that brought the files."""


def check_new(runtime: Runtime, session: Session, wanted: Wanted) -> None:
    """See that a model of this name can be made, before any file is moved.

    Raises:
        InvalidRequest: it cannot be a name.
        NameTaken: a model or an unfinished job has it.
        TokenizerNotFound, DataMissing: the tokenizer that it names is not there.
        QuotaExceeded: the key keeps too much already.
    """
    check_model_name(wanted.name)
    quotas.check_stored(session, runtime)
    try:
        runtime.catalogue.info(session, wanted.name)
    except ModelNotFound:
        if job_table.live_with_name(session, wanted.name) is not None:
            raise NameTaken(f"name: an unfinished job is called {wanted.name!r}", param="name") from None
        is_taken = model_table.is_taken(session, wanted.name)  # by a model of another key
    else:
        is_taken = True
    if is_taken:
        raise NameTaken(f"name: there is a model {wanted.name!r} already", param="name")
    if wanted.tokenizer is not None:
        runtime.tokenizers.get(session, wanted.tokenizer)


def check_beside(runtime: Runtime, wanted: Wanted, files: Files) -> None:
    """See that the files beside safetensors make a network and a tokenizer, before the weights are fetched.

    Raises:
        AppError: what is wrong with them; the message names the file or the key.
    """
    from app.llm.weights.hf_config import read_config
    from app.services.import_tokenizer import read_json, read_tokenizer

    found = look_beside(files, wanted.param)
    with refusals(wanted.param):
        config = read_config(read_json(found, *CONFIGS) or {})
        with runtime.database.read() as session:
            tokenizer = read_tokenizer(session, runtime, wanted, found)
    check_fits(config.vocab_size, tokenizer, wanted)
    if tokenizer.chat_template is not None:
        check_template(tokenizer.chat_template, tokenizer.tokenizer)


def check_licence(licence: str | None) -> str | None:
    """`licence`, wherever it was written, if it can be kept.

    Raises:
        InvalidFile: it holds what no database does, or is too long.
    """
    try:
        return TypeAdapter(Licence | None).validate_python(licence or None)
    except ValidationError as error:
        told = f"{error.errors()[0]['msg']}; name one in the request instead"
        raise InvalidFile(f"licence: that of the files cannot be kept: {told}", param="licence") from error


def check_fits(vocab_size: int, tokenizer: ImportedTokenizer, wanted: Wanted) -> None:
    """See that the network has as many tokens as the tokenizer.

    Raises:
        InvalidRequest: the tokenizer that was named has others.
        InvalidFile: the files' own has.
    """
    known = tokenizer.tokenizer.vocab_size
    if known == vocab_size:
        return
    told = f"the network has {vocab_size} tokens, the tokenizer {tokenizer.name} has {known}"
    if wanted.tokenizer is not None:
        raise InvalidRequest(f"tokenizer: {told}", param="tokenizer")
    raise InvalidFile(f"{wanted.param}: vocab_size: {told}; they must be one", param="vocab_size")


def check_disk(storage: Storage, needed: int) -> None:
    """See that so many bytes can be written, and some to spare.

    Raises:
        NoDiskSpace: they cannot.
    """
    free = shutil.disk_usage(storage.scratch).free
    if needed + SPARE_DISK_BYTES > free:
        raise NoDiskSpace(f"the model needs {needed:,} bytes of disk, {free:,} are free")


@contextmanager
def refusals(param: str) -> Iterator[None]:
    """What the library refuses, as the caller is told of it."""
    try:
        yield
    except BadConfig as error:
        raise InvalidFile(f"{param}: {error}", param=error.field) from error
    except (BadWeights, BadVocabulary) as error:
        raise InvalidFile(f"{param}: {error}", param=param) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoDiskSpace(f"{param}: there is no room for the model on the disk", param=param) from error
        raise InvalidFile(f"{param}: a file cannot be read: {error.strerror}", param=param) from error
