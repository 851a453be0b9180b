"""The recipe `instruct`, from a job's row to what the training loop needs. Knows no lease, metric or checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.db.tables.job import JobRow
from app.llm.checkpoint import ModelMeta, Network
from app.llm.data.taught import TaughtIds
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.base import Tokenizer
from app.llm.train.config import AnswerConfig, InstructConfig
from app.llm.train.instruct import Instructing
from app.services.answer_rows import AnswerRows, template_of
from app.services.corpus import Encoder
from app.services.job_data import Check
from app.services.job_examples import ExampleData, read_examples
from app.services.recipe import Run
from app.services.runtime import Runtime
from app.services.sample_answers import writer
from app.services.starting_network import start


def read_config(train: dict[str, Any]) -> InstructConfig:
    """The settings of a job's row."""
    return InstructConfig(**train)


def make_network(runtime: Runtime, job: JobRow, encoder: Encoder) -> tuple[Network, ModelMeta]:
    """The registered network that the job goes on from, with the template that it will answer by.

    Raises:
        AppError: it is not there (any more), or its tokenizer is not for it.
        BadWeights, BadCheckpoint: it is damaged.
    """
    network, meta = start(runtime, job, encoder)
    return network, with_template(meta, read_config(job.train), encoder.tokenizer)


def with_template(meta: ModelMeta, config: AnswerConfig, tokenizer: Tokenizer) -> ModelMeta:
    """A model that answers as it was taught: by that template, and up to the token that it was taught to end with.

    Raises:
        InvalidRequest: it has no such template.
    """
    template = template_of(config, meta.chat_template, tokenizer)
    if template.name == "chat":
        return meta
    return replace(meta, chat_template=template.source, eos_id=tokenizer.eos_id)


def make_run(runtime: Runtime, job: JobRow, encoder: Encoder, network: Network, meta: ModelMeta, check: Check) -> Run:
    """The data and the task for a network that lies on its device.

    Raises:
        InvalidRequest: a row cannot be learnt from; with its line.
        DatasetNotFound, TrainingStopped: as `read_examples`.
    """
    assert isinstance(network, Transformer), "only such networks are made or read here"
    config, tokenizer = read_config(job.train), encoder.tokenizer
    rows = AnswerRows.of(config, network.config, tokenizer, meta.chat_template, job.columns)
    found = read_examples(runtime, job, rows.taught, len, check)
    learnt, measured = [each.value for each in found.learnt], [each.value for each in found.measured]
    write = writer(network, tokenizer, measured or learnt, config.sample_tokens, meta.eos_id)
    task = Instructing(network, config, (learnt, measured), job.seed, write)
    config = config.with_steps(config.steps(len(task.batches)))

    def shown(row: TaughtIds) -> str:
        return tokenizer.decode(row.ids[: row.prompt_length])

    return Run(task, config, ExampleData(job, task.batches, found.learnt, shown))
