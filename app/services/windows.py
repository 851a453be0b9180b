"""POST /windows: a text, ids or a dataset through the sliding window of chapter 2, as the training jobs read them.

Every refusal comes out of `sample`; `Sampled.shown` makes the batches one by one. Knows no HTTP.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.errors import DatasetNotFound, InvalidRequest, TooLarge
from app.llm.errors import DatasetTooShort
from app.llm.tokenizer.base import Tokenizer
from app.schemas.windows import MAX_SHOWN_TOKENS, WindowsIn
from app.services import datasets, encoding, tokens
from app.services.corpus import Encoder, ids_of
from app.services.runtime import Runtime

if TYPE_CHECKING:  # torch takes a second to import
    from app.llm.data.windows import Batches, Ids, Mixture, Windows

SHOWN_BATCHES = 10
DRAWN_SEEDS = 2**31  # a number that every client can hold
MAX_DATASET_BYTES = 64 * 1024 * 1024  # the caller waits while it is encoded
LARGEST_ID = 2**31 - 1


@dataclass(frozen=True)
class Sampled:
    """A text's batches, and which of them to show."""

    tokenizer_name: str | None
    tokenizer: Tokenizer | None
    windows: Windows | Mixture
    batches: Batches
    batch_count: int
    page: range

    @property
    def head(self) -> dict[str, Any]:
        """What is said of all batches together."""
        return {
            "tokenizer": self.tokenizer_name,
            "tokens": sum(len(part.ids) for part in parts_of(self.windows)),
            "windows": len(self.windows),
            "batches": self.batch_count,
            "seed": self.batches.order.seed,
        }

    @property
    def has_more(self) -> bool:
        return self.page.stop < self.batch_count

    def shown(self) -> Iterator[dict[str, Any]]:
        """The batches of the page: which windows, their ids, and each id's text."""
        for number in self.page:
            inputs, targets = (ids.tolist() for ids in self.batches[number])
            yield {
                "index": number,
                "windows": self.batches.indices(number),
                "inputs": inputs,
                "targets": targets,
                "input_texts": self._texts(inputs),
                "target_texts": self._texts(targets),
            }

    def _texts(self, rows: list[list[int]]) -> list[list[str]] | None:
        tokenizer = self.tokenizer
        return None if tokenizer is None else [[tokens.text_of(tokenizer, each) for each in row] for row in rows]


def parts_of(windows: Windows | Mixture) -> Sequence[Windows]:
    from app.llm.data.windows import Mixture

    return windows.parts if isinstance(windows, Mixture) else [windows]


def sample(runtime: Runtime, body: WindowsIn) -> Sampled:
    """Cut what `body` names into windows and batches. Encodes it, which takes a second for a megabyte.

    Raises:
        AppError: what is wrong with it; `param` says which field.
    """
    from app.llm.data.windows import Batches, Windows

    _check(body, runtime.settings.max_text_bytes)
    name = body.tokenizer
    if name is None and body.ids is None:
        name = runtime.settings.default_tokenizer
    tokenizer = None if name is None else _tokenizer(runtime, name)
    ids, param = _ids(runtime, body, name, tokenizer)
    try:
        windows = Windows(ids, body.max_length, body.stride)
    except DatasetTooShort as error:
        raise InvalidRequest(f"{param}: {error}", param=param) from error
    seed = (secrets.randbelow(DRAWN_SEEDS) if body.seed is None else body.seed) if body.shuffle else None
    batches = Batches(windows, body.batch_size, seed, drop_last=body.drop_last)
    # Where even one batch is not full the training jobs make it smaller; here the words of the request count.
    count = 0 if body.drop_last and len(windows) < body.batch_size else len(batches)
    first = 0 if body.after is None else min(body.after + 1, count)
    return Sampled(name, tokenizer, windows, batches, count, range(first, min(first + _limit(body), count)))


def _check(body: WindowsIn, max_text_bytes: int) -> None:
    given = [name for name in ("text", "ids", "dataset") if getattr(body, name) is not None]
    if len(given) != 1:
        told = "give one of text, ids, dataset" + (f", not {' and '.join(given)}" if given else "")
        raise InvalidRequest(told, param=given[1] if given else "text")
    if body.text is not None:
        tokens.check_size([body.text], max_text_bytes)
    elif body.specials == "parse":
        raise InvalidRequest("specials: only a text is parsed for special tokens", param="specials")
    if body.ids is not None and len(body.ids) > max_text_bytes:
        raise TooLarge(f"ids: {len(body.ids):,} are more than the {max_text_bytes:,} of one call", param="ids")
    if body.seed is not None and not body.shuffle:
        raise InvalidRequest("seed: nothing is drawn where nothing is shuffled; leave it out", param="seed")
    if body.batch_size * body.max_length > MAX_SHOWN_TOKENS:
        told = f"{body.batch_size} inputs of {body.max_length} tokens are more than the {MAX_SHOWN_TOKENS:,} of a batch"
        raise InvalidRequest(f"batch_size: {told}", param="batch_size")
    if _limit(body) * body.batch_size * body.max_length > MAX_SHOWN_TOKENS:
        told = f"{body.limit} such batches are more than the {MAX_SHOWN_TOKENS:,} tokens of an answer"
        raise InvalidRequest(f"limit: {told}; ask for them in pages", param="limit")


def _limit(body: WindowsIn) -> int:
    return body.limit or max(1, min(SHOWN_BATCHES, MAX_SHOWN_TOKENS // (body.batch_size * body.max_length)))


def _tokenizer(runtime: Runtime, name: str) -> Tokenizer:
    with runtime.database.read() as session:  # given back before the long work
        return runtime.tokenizers.get(session, name)


def _ids(runtime: Runtime, body: WindowsIn, name: str | None, tokenizer: Tokenizer | None) -> tuple[Ids, str]:
    """The ids to cut, and the field that they come from."""
    import torch

    if body.ids is not None:
        tokens.check_ids(body.ids, LARGEST_ID + 1 if tokenizer is None else tokenizer.vocab_size)
        return torch.tensor(body.ids, dtype=torch.int64), "ids"
    assert name is not None, "only ids come without a tokenizer"
    assert tokenizer is not None, "only ids come without a tokenizer"
    if body.dataset is not None:
        return _ids_of_dataset(runtime, body.dataset, name, tokenizer), "dataset"
    ids = tokens.encode(tokenizer, body.text or "", parse_special=body.specials == "parse")
    return torch.tensor(ids, dtype=torch.int64), "text"


def _ids_of_dataset(runtime: Runtime, dataset_id: str, name: str, tokenizer: Tokenizer) -> Ids:
    """A dataset's ids out of its token file, which is made if it is not there; the training jobs use it, too."""
    storage = runtime.storage
    with runtime.database.read() as session:
        row = datasets.read(session, dataset_id, "dataset")
        encoder = Encoder.of(session, name, tokenizer)
    datasets.check_text(row, "dataset")
    if row.size_bytes > MAX_DATASET_BYTES:
        told = f"{row.size_bytes:,} bytes are more than the {MAX_DATASET_BYTES:,} that are cut while you wait"
        raise TooLarge(f"dataset: {told}", param="dataset")
    with encoding.refused("dataset", "dataset"):
        ids = ids_of(storage, encoder, row)
    forget_if_deleted(runtime, row.id)
    return ids


def forget_if_deleted(runtime: Runtime, dataset_id: str) -> None:
    """See to it that nothing made of a dataset stays where it was deleted meanwhile.

    Raises:
        DatasetNotFound: it was.
    """
    with runtime.database.read() as session:
        try:
            datasets.read(session, dataset_id, "dataset")
        except DatasetNotFound:
            shutil.rmtree(runtime.storage.tokens(dataset_id), ignore_errors=True)
            raise
