"""The first batches that a pretraining job of a dataset would learn from, out of the very code that it runs."""

from __future__ import annotations

import secrets
from collections.abc import Generator
from contextlib import contextmanager

from app.db.tables.job import JobRow
from app.errors import AppError, InvalidRequest, TooLarge
from app.schemas.dataset import BatchesQuery
from app.schemas.windows import MAX_SHOWN_TOKENS
from app.services import datasets, encoding
from app.services.corpus import Encoder
from app.services.dataset_texts import source_of
from app.services.runtime import Runtime
from app.services.windows import DRAWN_SEEDS, MAX_DATASET_BYTES, Sampled, forget_if_deleted


def sample(runtime: Runtime, dataset_id: str, query: BatchesQuery) -> Sampled:
    """The batches of the first steps. Encodes the dataset as the job would, which then finds it done.

    Raises:
        AppError: the dataset or the tokenizer is not there, or they do not go together; `param` says which field.
        TooLarge: the dataset is too long to be encoded while somebody waits.
        DataMissing, NoDiskSpace: as `encoding.refused`.
    """
    from app.services.job_data import Cut, read_data  # torch takes a second to import

    length, size = query.context_length, query.batch_size
    if query.limit * size * length > MAX_SHOWN_TOKENS:
        told = f"{query.limit} batches of {size} windows of {length} tokens are more than {MAX_SHOWN_TOKENS:,} tokens"
        raise InvalidRequest(f"limit: {told}", param="limit")
    name = query.tokenizer or runtime.settings.default_tokenizer
    with runtime.database.read() as session:  # given back before the long work
        row = datasets.read(session, dataset_id)
        tokenizer = runtime.tokenizers.get(session, name)
        encoder = Encoder.of(session, name, tokenizer)
    source = source_of(row, query.column, "dataset_id", "column")
    if (size_bytes := datasets.kept_bytes(runtime.storage, row)) > MAX_DATASET_BYTES:
        told = f"{size_bytes:,} bytes are more than the {MAX_DATASET_BYTES:,} that are cut while you wait"
        raise TooLarge(f"dataset_id: {told}", param="dataset_id")
    seed = secrets.randbelow(DRAWN_SEEDS) if query.seed is None else query.seed
    share = {"dataset": row.id, "weight": 1.0} | ({} if source.column is None else {"column": source.column})
    job = JobRow(datasets=[share], validation={"fraction": query.validation}, seed=seed)
    with _told(), encoding.refused(None, "tokenizer"):
        data = read_data(runtime, job, encoder, Cut(length, query.stride or length, length, size), lambda: None)
    forget_if_deleted(runtime, row.id)
    batches = data.train
    shown = range(min(query.limit, len(batches)))
    return Sampled(name, tokenizer, batches.windows, batches, len(batches), shown)


@contextmanager
def _told() -> Generator[None]:
    """Refusals by the fields of this request."""
    try:
        yield
    except AppError as error:
        if error.param == "dataset":  # as a job calls it
            error.param = "context_length"
        raise
