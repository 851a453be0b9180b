"""From a job's row to what the training loop needs: the network, its data, the length of the run.

Knows no lease, metric or checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from app.db.tables import dataset as dataset_table
from app.db.tables.dataset import DatasetRow
from app.db.tables.job import JobRow
from app.errors import DatasetNotFound, InvalidRequest
from app.llm.checkpoint import ModelMeta
from app.llm.config import PRESETS, ModelConfig, TrainConfig
from app.llm.data.windows import Batches, Mixture, Windows
from app.llm.errors import DatasetTooShort
from app.llm.evaluate import write_greedily
from app.llm.model.transformer import Transformer
from app.llm.train.pretrain import Pretraining
from app.services import model_files
from app.services.corpus import Encoder, ids_of, split_point
from app.services.runtime import Runtime

DEFAULT_WINDOW = 256
"""Tokens a window where the job says nothing and the model could take more."""

Check = Callable[[], None]


@dataclass(frozen=True)
class Data:
    """What is learnt from, and what is measured on."""

    train: Batches
    validation: Batches | None


def window_length(config: TrainConfig, context_length: int) -> int:
    """Tokens a window.

    Raises:
        InvalidRequest: more were asked for than the model's context.
    """
    if config.context_length is not None and config.context_length > context_length:
        told = f"windows of {config.context_length} tokens do not fit the model's context of {context_length}"
        raise InvalidRequest(told, param="train.context_length")
    return config.context_length or min(context_length, DEFAULT_WINDOW)


def total_steps(config: TrainConfig, batches_an_epoch: int) -> int:
    """Updates of a run; one epoch where nothing is said."""
    return config.max_steps or (config.epochs or 1) * batches_an_epoch


def make_network(runtime: Runtime, job: JobRow, encoder: Encoder) -> tuple[Transformer, ModelMeta]:
    """The network that the job starts from: a new one, drawn from its seed, or a registered one to continue.

    Raises:
        AppError: the model to continue is not there (any more).
        BadConfig, BadWeights, BadCheckpoint: it cannot be made, or is damaged.
    """
    torch.manual_seed(job.seed)
    base = job.model.get("name")
    if base is None:
        fields = {name: value for name, value in job.model.items() if name != "preset"}
        preset = PRESETS[job.model["preset"]] if job.model.get("preset") else {}
        config = ModelConfig(**{**preset, **fields, "vocab_size": encoder.tokenizer.vocab_size})
        return Transformer(config), ModelMeta(config, job.tokenizer, encoder.tokenizer.eos_id)
    with runtime.database.read() as session:
        place = model_files.find(session, runtime.storage, base)
    weights = model_files.read(place)
    if weights.config.vocab_size != encoder.tokenizer.vocab_size:
        sizes = f"{weights.config.vocab_size} tokens, its tokenizer {job.tokenizer} {encoder.tokenizer.vocab_size}"
        raise InvalidRequest(f"model: {base} has {sizes}", param="model")
    meta = ModelMeta(
        config=weights.config,
        tokenizer=weights.tokenizer,
        eos_id=weights.eos_id,
        chat_template=weights.chat_template,
        base_model=base,
        licence=weights.licence,
    )
    return weights.network, meta


def read_data(runtime: Runtime, job: JobRow, encoder: Encoder, config: TrainConfig, length: int, check: Check) -> Data:
    """The job's texts as batches of windows of `length` tokens.

    Raises:
        InvalidRequest: there is not one window to learn from, or to measure on.
        DatasetNotFound: a dataset was deleted.
        UnknownToken: the tokenizer does not know a word of them.
        TrainingStopped: by `check`.
    """

    def windows(row: DatasetRow, start: int, end: int | None, stride: int, param: str) -> Windows:
        ids = ids_of(runtime.storage, encoder, row, start, end, check)
        try:
            return Windows(ids, length, stride)
        except DatasetTooShort as error:
            part = "validation" if param == "validation" else "training"
            raise InvalidRequest(f"{row.id} is too short for {part}: {error}", param=param) from error

    fraction = job.validation.get("fraction") or 0.0
    rows = [_dataset(runtime, entry["dataset"], "dataset") for entry in job.datasets]
    weights = [float(entry["weight"]) for entry in job.datasets]
    cuts = [split_point(row.characters, fraction) if fraction else None for row in rows]
    learnt = [windows(row, 0, cut, config.stride or length, "dataset") for row, cut in zip(rows, cuts, strict=True)]
    held_out: Mixture | None = None
    if fraction:
        parts = [windows(row, cut or 0, None, length, "validation") for row, cut in zip(rows, cuts, strict=True)]
        held_out = Mixture(parts, weights)
    elif "dataset" in job.validation:
        other = _dataset(runtime, job.validation["dataset"], "validation")
        held_out = Mixture([windows(other, 0, None, length, "validation")], [1.0])
    return Data(
        Batches(Mixture(learnt, weights), config.batch_size, job.seed),
        None if held_out is None else Batches(held_out, config.batch_size, job.seed),
    )


def make_task(model: Transformer, config: TrainConfig, data: Data, encoder: Encoder, eos_id: int | None) -> Pretraining:
    """The recipe on this network and data.

    Raises:
        InvalidRequest: the prompt of the samples has no token.
        UnknownToken: the tokenizer does not know a word of it.
    """
    tokenizer = encoder.tokenizer
    prompt = tokenizer.encode(config.sample_prompt)
    if not prompt:
        raise InvalidRequest(f"{config.sample_prompt!r} has no token", param="train.sample_prompt")

    def write(check: Check) -> str:
        written = write_greedily(model, prompt, config.sample_tokens, stop_id=eos_id, check=check)
        return tokenizer.decode([*prompt, *written])

    return Pretraining(model, config, data.train, data.validation, write)


def with_steps(config: TrainConfig, data: Data) -> TrainConfig:
    """The same run, its length said in steps."""
    return replace(config, max_steps=total_steps(config, len(data.train)), epochs=None)


def _dataset(runtime: Runtime, dataset_id: str, param: str) -> DatasetRow:
    with runtime.database.read() as session:
        row = dataset_table.get(session, dataset_id)
    if row is None:
        raise DatasetNotFound(f"{param}: there is no dataset {dataset_id!r} any more", param=param)
    return row
