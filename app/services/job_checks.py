"""Whether a job can be done: what it names is there, its numbers fit together, its texts hold at least one window.

Everything here is asked before a row is written, so that a mistake is told to the person who made it, not to a worker
minutes later. The trainer judges again, exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables.dataset import DatasetRow
from app.errors import InvalidRequest
from app.llm.config import PRESETS, ModelConfig
from app.llm.errors import BadConfig
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.word import WordTokenizer
from app.llm.train.config import TrainConfig
from app.schemas.job import HeldOut, JobCreate, NetworkSpec
from app.services import compiling, datasets, model_files, tokens, train_presets, word2vec_checks
from app.services.corpus import end_id, split_point
from app.services.dataset_texts import Source, source_of
from app.services.recipe import MAX_BATCH_TOKENS, Asked, train_config, window_length
from app.services.runtime import Runtime
from app.services.storage import Storage
from app.services.tokenizer_making import make_word

DEFAULT_PRESET = "gpt-tiny"
MAX_PARAMETERS = 20_000_000_000
LOOKED_AT_CHARACTERS = 1 << 20  # a part longer than this holds a window, but for texts that only the trainer can judge
CHARACTERS_A_TOKEN = 16  # generous: so much text holds the tokens of a window, nearly always


@dataclass(frozen=True)
class Share:
    """A text to learn from, and its share of an epoch."""

    source: Source
    weight: float

    @property
    def dataset(self) -> DatasetRow:
        return self.source.dataset

    @property
    def named(self) -> dict[str, Any]:
        """As a job's row names it."""
        column = self.source.column
        return {"dataset": self.dataset.id} | ({} if column is None else {"column": column})


@dataclass(frozen=True)
class Plan:
    """A job that names only what is there."""

    shares: tuple[Share, ...]
    validation: Share | None
    fraction: float  # of each text, kept back to measure on; 0 where there is a validation dataset
    asked: Asked
    tokenizer: Tokenizer | None  # None: still to be made


def plan(session: Session, runtime: Runtime, body: JobCreate) -> Plan:
    """Look up what the job names and see whether its numbers fit together.

    Raises:
        AppError: they do not, or something is not there; `param` says which field.
    """
    body = train_presets.filled(body)
    if isinstance(body.dataset, str):
        shares: tuple[Share, ...] = (_share(session, body.dataset, "dataset"),)
    else:
        shares = tuple(
            replace(_share(session, share.dataset, f"dataset.{index}", share.column), weight=share.weight)
            for index, share in enumerate(body.dataset)
        )
    validation = None
    if not isinstance(body.validation, float):
        validation = _held_out(session, body.validation, shares[0].source.column)
    asked = RECIPES[body.recipe](session, runtime, body)
    _check_devices(body, asked)
    if asked.train.compile:
        compiling.check_workers(runtime.settings)
    for field in ("patience", "max_rise"):
        if getattr(asked.train, field) is not None and not body.validation:
            told = f"train.{field}: there is no validation loss to go by; give `validation`"
            raise InvalidRequest(told, param=f"train.{field}")
    return Plan(
        shares=shares,
        validation=validation,
        fraction=body.validation if isinstance(body.validation, float) else 0.0,
        asked=asked,
        tokenizer=None if asked.makes_tokenizer else runtime.tokenizers.get(session, asked.tokenizer_name),
    )


def with_tokenizer(storage: Storage, plan: Plan) -> Plan:
    """The plan with its tokenizer, made of the text where it is to be made: that takes seconds, no transaction waits.

    Raises:
        TooLarge, InvalidRequest, DataMissing: as `tokenizer_making.make_word`.
    """
    if plan.tokenizer:
        return plan
    made = make_word(storage, plan.shares[0].dataset, 2)
    tokenizer = WordTokenizer.from_json(made.content.decode())
    network = replace(plan.asked.network, vocab_size=tokenizer.vocab_size)
    return replace(plan, tokenizer=tokenizer, asked=replace(plan.asked, network=network))


def check_texts(storage: Storage, plan: Plan) -> None:
    """See whether every text, and every part that is kept back, holds a window of input and target.

    Raises:
        InvalidRequest: one is too short, or the samples' prompt has no token; `param` says which.
        UnknownWord: the tokenizer does not know a word of it.
        DataMissing: its file is gone.
    """
    assert plan.tokenizer is not None, "with_tokenizer() comes first"
    prompt = plan.asked.train.sample_prompt
    if prompt and not tokens.encode(plan.tokenizer, prompt, parse_special=False, param="train.sample_prompt"):
        raise InvalidRequest("train.sample_prompt: there is no token in it", param="train.sample_prompt")
    for share in plan.shares:
        cut = split_point(share.source.size, plan.fraction) if plan.fraction else None
        _check_part(storage, plan, share.source, (0, cut), "dataset")
        if cut is not None:
            _check_part(storage, plan, share.source, (cut, None), "validation")
    if plan.validation is not None:
        _check_part(storage, plan, plan.validation.source, (0, None), "validation")


def _pretrain(session: Session, runtime: Runtime, body: JobCreate) -> Asked:
    """The request as `pretrain` understands it."""
    config, tokenizer_name = _network(session, runtime, body)
    train = train_config(body, TrainConfig)
    window = window_length(train, config.context_length)
    if train.order == "book" and not isinstance(body.model, str):
        _check_book_parts(config)
    if train.batch_size * window > MAX_BATCH_TOKENS:
        told = f"{train.batch_size} windows of {window} tokens are more than the {MAX_BATCH_TOKENS:,} tokens of a batch"
        raise InvalidRequest(f"train.batch_size: {told}", param="train.batch_size")
    if isinstance(body.model, str):
        model, called = {"name": body.model}, body.model.partition("@")[0][:80]
    else:
        model = body.model.model_dump(exclude_none=True) or {"preset": DEFAULT_PRESET}
        called = body.model.preset or "gpt"
    return Asked(model, called, tokenizer_name, makes_tokenizer=False, train=train, window=window, network=config)


def _check_book_parts(config: ModelConfig) -> None:
    try:
        config.check_book_parts()
    except BadConfig as error:
        raise InvalidRequest(f"model.{error}", param=f"model.{error.field}") from error


RECIPES: dict[str, Callable[[Session, Runtime, JobCreate], Asked]] = {
    "pretrain": _pretrain,
    "word2vec": word2vec_checks.check,
}
DIVISIBLE = {"pretrain"}
"""Recipes in which every part of a batch counts as much as its share: the mean of the parts' losses is the batch's."""


def _check_devices(body: JobCreate, asked: Asked) -> None:
    """Pass a job whose batches are divided evenly among its devices, by a recipe that can."""
    if body.devices == 1:
        return
    if body.recipe not in DIVISIBLE:
        raise InvalidRequest(f"devices: recipe {body.recipe} trains on one device; leave this out", param="devices")
    if getattr(asked.train, "order", "") == "book":
        raise InvalidRequest("devices: the book's order is that of one device; leave this out", param="devices")
    if asked.train.batch_size % body.devices:
        told = f"a batch of {asked.train.batch_size} cannot be divided evenly among {body.devices} devices"
        raise InvalidRequest(f"train.batch_size: {told}", param="train.batch_size")


def _network(session: Session, runtime: Runtime, body: JobCreate) -> tuple[ModelConfig, str]:
    """The network's configuration, and the name of its tokenizer."""
    if isinstance(body.model, str):
        config, tokenizer_name = _known_network(session, runtime, body.model)
        if body.tokenizer not in (None, tokenizer_name):
            told = f"{body.model} goes on with its own tokenizer, {tokenizer_name}; leave this out"
            raise InvalidRequest(f"tokenizer: {told}", param="tokenizer")
        return config, tokenizer_name
    tokenizer_name = runtime.settings.default_tokenizer if body.tokenizer is None else body.tokenizer
    vocab_size = runtime.tokenizers.get(session, tokenizer_name).vocab_size
    return new_network(body.model, vocab_size, tokenizer_name), tokenizer_name


def _known_network(session: Session, runtime: Runtime, name: str) -> tuple[ModelConfig, str]:
    model_files.find(session, runtime.storage, name)
    info = runtime.catalogue.info(session, name)
    assert isinstance(info.config, ModelConfig), "find() refuses other kinds"
    return info.config, info.tokenizer


def new_network(spec: NetworkSpec, vocab_size: int, tokenizer_name: str) -> ModelConfig:
    """The configuration of a new network for a vocabulary.

    Raises:
        InvalidRequest: a field is missing, the fields do not fit together, or make an absurdly large network.
    """
    fields = spec.model_dump(exclude_none=True)
    preset = fields.pop("preset", None if fields else DEFAULT_PRESET)
    if preset is not None and preset not in PRESETS:
        told = f"there is no preset {preset[:100]!r}; there are {', '.join(PRESETS)}"
        raise InvalidRequest(f"model.preset: {told}", param="model.preset")
    if fields.pop("vocab_size", vocab_size) != vocab_size:
        told = f"tokenizer {tokenizer_name} has {vocab_size} tokens; leave this out"
        raise InvalidRequest(f"model.vocab_size: {told}", param="model.vocab_size")
    fields = (PRESETS[preset] if preset else {}) | fields
    for name in ("context_length", "emb_dim", "n_heads", "n_layers"):
        if name not in fields:
            raise InvalidRequest(f"model.{name}: needed where no preset is named", param=f"model.{name}")
    try:
        config = ModelConfig(**fields, vocab_size=vocab_size)
    except BadConfig as error:
        raise InvalidRequest(f"model.{error}", param=f"model.{error.field}") from error
    if (parameters := _parameters(config)) > MAX_PARAMETERS:
        raise InvalidRequest(f"model: {parameters:,} weights are more than {MAX_PARAMETERS:,}", param="model")
    return config


def _parameters(config: ModelConfig) -> int:
    """About how many weights, without biases and norms."""
    attention = 2 * config.emb_dim * (config.emb_dim + config.kv_heads * config.head_dim)
    mlp = (3 if config.mlp == "swiglu" else 2) * config.emb_dim * config.mlp_dim
    tables = config.vocab_size * (1 if config.tied else 2)
    tables += config.context_length if config.position == "learned" else 0
    return config.emb_dim * tables + config.n_layers * (attention + mlp)


def _share(session: Session, dataset_id: str, param: str, column: str | None = None) -> Share:
    """`param` names the dataset, or the entry that does."""
    row = datasets.read(session, dataset_id, f"{param}.dataset" if "." in param else param)
    return Share(source_of(row, column, param), 1.0)


def _held_out(session: Session, named: str | HeldOut, column: str | None) -> Share:
    """A validation dataset; of rows by the column named, or the one that is learnt from, if it has it."""
    if isinstance(named, HeldOut):
        row = datasets.read(session, named.dataset, "validation.dataset")
        wanted = named.column
    else:
        row = datasets.read(session, named, "validation")
        wanted = None
    known = column if column in datasets.column_names(row) else None
    return Share(source_of(row, wanted or known, "validation"), 1.0)


def _check_part(storage: Storage, plan: Plan, source: Source, part: tuple[int, int | None], param: str) -> None:
    assert plan.tokenizer is not None, "with_tokenizer() comes first"
    ends = 0
    if source.column is not None:
        end_id(plan.tokenizer)  # one stands behind each row
        ends = 1
    needed = plan.asked.window + 1
    for looked_at in (needed * CHARACTERS_A_TOKEN, LOOKED_AT_CHARACTERS):
        texts, is_all = source.beginning(storage, part, looked_at)
        found = sum(ends + len(tokens.encode(plan.tokenizer, text, parse_special=False, param=param)) for text in texts)
        if found >= needed or (looked_at == LOOKED_AT_CHARACTERS and not is_all):
            return
    is_kept_back = param == "validation" and plan.validation is None
    kept = "the part of it that is kept back" if is_kept_back else source.dataset.id
    told = f"{kept} has {found:,} tokens; a window of {plan.asked.window} and the token after it need {needed:,}"
    raise InvalidRequest(f"{param}: {told}", param=param)
