"""The tables of vectors that can be looked into: of any model, whatever its kind, and of a fresh seeded layer.

Knows no rows that are asked for, and no HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.errors import DataMissing, InvalidRequest, TooLarge
from app.llm.config import ModelConfig
from app.llm.errors import LLMError
from app.llm.tokenizer.base import Tokenizer
from app.services import model_files
from app.services.classifiers import Opened
from app.services.loaded_model import LoadedModel
from app.services.model_files import Place
from app.services.runtime import Runtime

if TYPE_CHECKING:  # torch takes a second to import
    from torch import Tensor

    from app.llm.model.transformer import Transformer

MAX_DRAWN = 1 << 26  # numbers of a fresh layer: 256 MiB

Pair = tuple["Tensor", "Tensor | None"]  # (V, E), (context_length, E)


@dataclass(frozen=True)
class Tables:
    """The vectors of a model's tokens, and those of its positions if it has such: how many, and the way to them."""

    name: str | None
    seed: int | None
    vocab_size: int
    width: int
    positions: int | None
    """Rows of the table of positions; None where there is none."""
    tokenizer: Tokenizer | None = field(repr=False)
    opened: Callable[[], AbstractContextManager[Pair]] = field(repr=False)
    """The tables themselves, while they are computed with; a model's are read first if need be."""


async def of_model(runtime: Runtime, name: str | None) -> Tables:
    """The tables of a model (None: the default one), loaded if need be.

    Raises:
        ModelNotFound, CheckpointNotFound, DataMissing, TooLarge, NotReady: as `Runtime.model`.
    """
    name = runtime.settings.default_model if name is None else name
    found = await asyncio.to_thread(_of_silent, runtime, name)
    if found is not None:
        return found
    model = await runtime.model(name)
    config = model.config
    sizes = (config.vocab_size, config.emb_dim, _positions(config))
    return Tables(model.name, None, *sizes, model.tokenizer, lambda: _of_loaded(model))


@dataclass(frozen=True)
class Layer:
    """What a fresh layer is asked to be; `tokenizer` gives its `vocab_size`."""

    output_dim: int
    seed: int
    vocab_size: int | None
    context_length: int | None
    tokenizer: str | None


def fresh(runtime: Runtime, asked: Layer) -> Tables:
    """A new layer as torch makes it right after `torch.manual_seed(seed)`; torch's own generator is not touched.

    Raises:
        InvalidRequest: its vocabulary's size is not told, or is another one than its tokenizer's.
        TokenizerNotFound, DataMissing: its tokenizer is not there.
        TooLarge: it has more numbers than are drawn.
    """
    import torch

    tokenizer = None
    if asked.tokenizer is not None:
        with runtime.database.read() as session:
            tokenizer = runtime.tokenizers.get(session, asked.tokenizer)
        if asked.vocab_size not in (None, tokenizer.vocab_size):
            told = f"tokenizer {asked.tokenizer} has {tokenizer.vocab_size} tokens; leave this out"
            raise InvalidRequest(f"vocab_size: {told}", param="vocab_size")
    vocab_size = asked.vocab_size if tokenizer is None else tokenizer.vocab_size
    if vocab_size is None:
        raise InvalidRequest("vocab_size: needed where no tokenizer gives it", param="vocab_size")
    width, positions = asked.output_dim, asked.context_length or 0
    if (vocab_size + positions) * width > MAX_DRAWN:
        told = f"{(vocab_size + positions) * width:,} numbers are more than the {MAX_DRAWN:,} that are drawn"
        raise TooLarge(f"output_dim: {told}", param="output_dim")
    source = torch.Generator().manual_seed(asked.seed)
    token = torch.empty(vocab_size, width).normal_(generator=source)  # (V, E)
    position = torch.empty(positions, width).normal_(generator=source) if positions else None
    sizes = (vocab_size, width, positions or None)
    return Tables(None, asked.seed, *sizes, tokenizer, lambda: nullcontext((token, position)))


def _of_silent(runtime: Runtime, name: str) -> Tables | None:
    """The tables of a model that writes nothing, out of its file; None for one that does."""
    with runtime.database.read() as session:
        place = model_files.find_any(session, runtime.storage, name)
    match model_files.family(place):
        case "word2vec":
            return _word_vectors(runtime, place)
        case "classifier":
            opened = runtime.classifiers.get(name, runtime.database.owner)
            body = opened.shape.body
            sizes = (body.vocab_size, body.emb_dim, _positions(body))
            return Tables(opened.name, None, *sizes, opened.tokenizer, lambda: _of_classifier(opened))
        case _:
            return None


def _word_vectors(runtime: Runtime, place: Place) -> Tables:
    """Mapped from the file."""
    from app.llm.checkpoint import load_model
    from app.llm.model.word_vectors import WordVectors

    try:
        network, meta = load_model(place.path)
    except (LLMError, FileNotFoundError) as error:
        raise DataMissing(f"model: the files of {place.name} cannot be used: {error}", param="model") from error
    with runtime.database.read() as session:
        tokenizer = runtime.tokenizers.get(session, meta.tokenizer, param="model")
    assert isinstance(network, WordVectors), "its family says so"
    table = network.token_embedding.weight.detach()
    if tokenizer.vocab_size != len(table):
        sizes = f"{len(table)} vectors, but its tokenizer {meta.tokenizer} {tokenizer.vocab_size} tokens"
        raise DataMissing(f"model: {place.name} has {sizes}", param="model")
    vocab_size, width = table.shape
    return Tables(place.name, None, vocab_size, width, None, tokenizer, lambda: nullcontext((table, None)))


def _positions(config: ModelConfig) -> int | None:
    return config.context_length if config.position == "learned" else None


@contextmanager
def _of_loaded(model: LoadedModel) -> Iterator[Pair]:
    with model.network.lent() as network, model.gate:
        yield _pair(network)


@contextmanager
def _of_classifier(opened: Opened) -> Iterator[Pair]:
    with opened.network.lent() as network:
        yield _pair(network.body)


def _pair(network: Transformer) -> Pair:
    learned = network.config.position == "learned"
    return network.token_embedding.weight, network.position_embedding.weight if learned else None
