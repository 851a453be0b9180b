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
from app.errors import InvalidRequest, UnknownField
from app.llm.config import AdapterConfig, ClassifierConfig, ModelConfig
from app.llm.errors import BadConfig
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.word import WordTokenizer
from app.llm.train.config import ClassifyConfig, InstructConfig, PreferenceConfig, TrainConfig
from app.schemas.job import HeldOut, JobCreate
from app.services import (
    adapting,
    answer_checks,
    classify_checks,
    compiling,
    datasets,
    networks,
    tokens,
    train_presets,
    word2vec_checks,
)
from app.services.corpus import end_id, kept_back_from
from app.services.dataset_texts import Source, source_of
from app.services.job_rows import Counted, JobRows, Reading, RowRecipe
from app.services.recipe import Asked, check_batch, refuse_others, train_config, window_length
from app.services.runtime import Runtime
from app.services.storage import Storage
from app.services.tokenizer_making import make_word

LOOKED_AT_CHARACTERS = 1 << 20  # a part longer than this holds a window, but for texts that only the trainer can judge
FROM_BYTES = 16 * 1024 * 1024
"""Larger data is read before the job is queued, when nobody waits any more; of these a report is a sample, too."""
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
    recipe: str
    counted: Counted | None = None  # of rows, once they were read
    devices: int = 1

    @property
    def rows(self) -> JobRows | None:
        """What is read of datasets of rows; None for a recipe that learns from windows of text."""
        if self.asked.columns is None:
            return None
        return JobRows(
            learnt=tuple(share.dataset for share in self.shares),
            held_out=self.validation.dataset if self.validation else None,
            columns=self.asked.columns,
            fraction=self.fraction,
            test=self.asked.test,
        )


def plan(session: Session, runtime: Runtime, body: JobCreate) -> Plan:
    """Look up what the job names and see whether its numbers fit together.

    Raises:
        AppError: they do not, or something is not there; `param` says which field.
    """
    body = train_presets.filled(body)
    if body.evaluate is not None:
        raise UnknownField(f"evaluate: recipe {body.recipe} measures nothing beside its own loss", param="evaluate")
    if body.recipe not in RECIPES:
        raise InvalidRequest(f"recipe: {body.recipe} cannot be run yet; there are {', '.join(RECIPES)}", param="recipe")
    reads_rows = body.recipe in ROW_RECIPES
    if not reads_rows:
        _refuse_parts_of_rows(body)
    shares = rows_to_learn(session, body) if reads_rows else _texts(session, body)
    validation = None
    if not isinstance(body.validation, float):
        held_out = rows_to_measure if reads_rows else _held_out
        validation = held_out(session, body.validation, shares[0].source.column)
    asked = RECIPES[body.recipe](session, runtime, body)
    adapting.check(body, asked.train.lora, asked.network)
    _check_devices(body, asked)
    if asked.train.compile:
        compiling.check_workers(runtime.settings)
    for field in ("patience", "max_rise"):
        if getattr(asked.train, field) is not None and not body.validation:
            told = f"train.{field}: there is no validation loss to go by; give `validation`"
            raise InvalidRequest(told, param=f"train.{field}")
    found = Plan(
        shares=shares,
        validation=validation,
        fraction=body.validation if isinstance(body.validation, float) else 0.0,
        asked=asked,
        tokenizer=None if asked.makes_tokenizer else runtime.tokenizers.get(session, asked.tokenizer_name),
        recipe=body.recipe,
        devices=body.devices,
    )
    if found.rows is not None:
        found.rows.check()
    return found


def with_tokenizer(storage: Storage, plan: Plan) -> Plan:
    """The plan with its tokenizer, made of the text where it is to be made: that takes seconds, no transaction waits.

    Raises:
        TooLarge, InvalidRequest, DataMissing: as `tokenizer_making.make_word`.
    """
    if plan.tokenizer:
        return plan
    made = make_word(storage, plan.shares[0].dataset, 2)
    tokenizer = WordTokenizer.from_json(made.content.decode())
    assert not isinstance(plan.asked.network, ClassifierConfig | AdapterConfig), "such take a tokenizer that is there"
    network = replace(plan.asked.network, vocab_size=tokenizer.vocab_size)
    return replace(plan, tokenizer=tokenizer, asked=replace(plan.asked, network=network))


def with_data(storage: Storage, plan: Plan) -> Plan:
    """The plan, once its data was looked into: whether every text, and every part that is kept back, holds a window of
    input and target; of rows, whether the recipe can learn from them, and how many and how long they are.

    Raises:
        InvalidRequest: a text is too short, a row is wrong, or the samples' prompt has no token; `param` says which.
        UnknownWord: the tokenizer does not know a word of it.
        DataMissing: its file is gone.
    """
    assert plan.tokenizer is not None, "with_tokenizer() comes first"
    prompt = plan.asked.train.sample_prompt
    if prompt and not tokens.encode(plan.tokenizer, prompt, parse_special=False, param="train.sample_prompt"):
        raise InvalidRequest("train.sample_prompt: there is no token in it", param="train.sample_prompt")
    if plan.rows is not None:
        return _with_rows(storage, plan, plan.rows)
    for share in plan.shares:
        cut = kept_back_from(storage, share.source, plan.fraction, plan.tokenizer)
        _check_part(storage, plan, share.source, (0, cut), "dataset")
        if cut is not None:
            _check_part(storage, plan, share.source, (cut, None), "validation")
    if plan.validation is not None:
        _check_part(storage, plan, plan.validation.source, (0, None), "validation")
    return plan


def _with_rows(storage: Storage, plan: Plan, rows: JobRows) -> Plan:
    asked, tokenizer = plan.asked, plan.tokenizer
    assert tokenizer is not None, "with_tokenizer() came first"
    assert isinstance(asked.network, ModelConfig), "recipes of rows learn with decoders"
    is_whole = rows.size_bytes <= FROM_BYTES
    counted = ROW_RECIPES[plan.recipe].count(
        Reading(rows, storage, tokenizer, asked.network, asked.train, asked.window, is_whole, asked.chat_template)
    )
    window = min(asked.window, counted.longest)
    check_batch(asked.train.batch_size, window, "examples")
    asked = replace(asked, window=window, network=counted.network or asked.network)
    return replace(plan, asked=asked, counted=counted)


def _pretrain(session: Session, runtime: Runtime, body: JobCreate) -> Asked:
    """The request as `pretrain` understands it."""
    config, tokenizer_name = networks.asked_for(session, runtime, body)
    train = train_config(body, TrainConfig)
    window = window_length(train, config.context_length)
    if train.order == "book" and not isinstance(body.model, str):
        _check_book_parts(config)
    check_batch(train.batch_size, window, "windows")
    model, called = networks.named(body)
    return Asked(model, called, tokenizer_name, makes_tokenizer=False, train=train, window=window, network=config)


def _check_book_parts(config: ModelConfig) -> None:
    try:
        config.check_book_parts()
    except BadConfig as error:
        raise InvalidRequest(f"model.{error}", param=f"model.{error.field}") from error


RECIPES: dict[str, Callable[[Session, Runtime, JobCreate], Asked]] = {
    "pretrain": _pretrain,
    "word2vec": word2vec_checks.check,
    "classify": classify_checks.check,
    "instruct": answer_checks.instruct,
    "dpo": answer_checks.dpo,
}
ROW_RECIPES: dict[str, RowRecipe] = {
    "classify": RowRecipe(ClassifyConfig, classify_checks.count),
    "instruct": RowRecipe(InstructConfig, answer_checks.count_dialogues),
    "dpo": RowRecipe(PreferenceConfig, answer_checks.count_pairs),
}
"""Those that learn from rows."""
DIVISIBLE = {"pretrain"}
"""Recipes in which every part of a batch counts as much as its share: the mean of the parts' losses is the batch's."""


def _check_devices(body: JobCreate, asked: Asked) -> None:
    """Pass a job whose batches are divided evenly among its devices, by a recipe that can; a network among several."""
    if body.devices == 1:
        if getattr(asked.train, "shard", "") == "always":
            told = "train.shard: one device has nobody to divide the network with; give `devices`, or leave this out"
            raise InvalidRequest(told, param="train.shard")
        return
    if body.recipe not in DIVISIBLE:
        raise InvalidRequest(f"devices: recipe {body.recipe} trains on one device; leave this out", param="devices")
    if getattr(asked.train, "order", "") == "book":
        raise InvalidRequest("devices: the book's order is that of one device; leave this out", param="devices")
    if asked.train.batch_size % body.devices:
        told = f"a batch of {asked.train.batch_size} cannot be divided evenly among {body.devices} devices"
        raise InvalidRequest(f"train.batch_size: {told}", param="train.batch_size")


def _refuse_parts_of_rows(body: JobCreate) -> None:
    """Pass a request for windows of text, which says nothing of rows."""
    refuse_others(body, "columns", body.columns.model_dump(exclude_none=True), set())
    if body.test is not None:
        raise UnknownField(f"test: recipe {body.recipe} makes no report at its end", param="test")


def _texts(session: Session, body: JobCreate) -> tuple[Share, ...]:
    if isinstance(body.dataset, str):
        return (_share(session, body.dataset, "dataset"),)
    return tuple(
        replace(_share(session, share.dataset, f"dataset.{index}", share.column), weight=share.weight)
        for index, share in enumerate(body.dataset)
    )


def rows_to_learn(session: Session, body: JobCreate) -> tuple[Share, ...]:
    """Datasets of rows, each row of which counts once.

    Raises:
        DatasetNotFound: one is not there.
        UnknownField: one has a weight, or a column of its own.
    """
    if isinstance(body.dataset, str):
        return (Share(Source(datasets.read(session, body.dataset, "dataset")), 1.0),)
    for index, share in enumerate(body.dataset):
        for field, is_said in (("column", share.column is not None), ("weight", share.weight != 1.0)):
            if is_said:
                told = f"dataset.{index}.{field}: recipe {body.recipe} has no such setting; `columns` names columns"
                raise UnknownField(told, param=f"dataset.{index}.{field}")
    named = enumerate(body.dataset)
    return tuple(Share(Source(datasets.read(session, one.dataset, f"dataset.{n}.dataset")), 1.0) for n, one in named)


def rows_to_measure(session: Session, named: str | HeldOut, _column: str | None) -> Share:
    """A validation dataset of rows.

    Raises:
        DatasetNotFound: it is not there.
        UnknownField: it has a column of its own.
    """
    if isinstance(named, str):
        return Share(Source(datasets.read(session, named, "validation")), 1.0)
    if named.column is not None:
        told = "validation.column: rows have the columns of `columns`; leave this out"
        raise UnknownField(told, param="validation.column")
    return Share(Source(datasets.read(session, named.dataset, "validation.dataset")), 1.0)


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
    kept = "the part of it that is kept back" if is_kept_back else source.dataset.label
    told = f"{kept} has {found:,} tokens; a window of {plan.asked.window} and the token after it need {needed:,}"
    raise InvalidRequest(f"{param}: {told}", param=param)
