"""The recipe `dpo`, from a job's row to what the training loop needs. Knows no lease, metric or checkpoint."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import torch

from app.db.tables.job import JobRow
from app.llm.checkpoint import ModelMeta, Network
from app.llm.data.taught import TaughtPair
from app.llm.model.lora import without_lora
from app.llm.model.stored import whole
from app.llm.model.transformer import Transformer
from app.llm.train.config import PreferenceConfig
from app.llm.train.dpo import Preferring, Reference
from app.services import instructing
from app.services.answer_rows import AnswerRows
from app.services.corpus import Encoder
from app.services.job_data import Check
from app.services.job_examples import ExampleData, read_examples
from app.services.recipe import Run
from app.services.runtime import Runtime
from app.services.sample_answers import writer
from app.services.starting_network import base_weights, start


def read_config(train: dict[str, Any]) -> PreferenceConfig:
    """The settings of a job's row."""
    return PreferenceConfig(**train)


def make_network(runtime: Runtime, job: JobRow, encoder: Encoder) -> tuple[Network, ModelMeta]:
    """The registered network that the job goes on from, with the template that it will answer by.

    Raises:
        AppError: it is not there (any more), or its tokenizer is not for it.
        BadWeights, BadCheckpoint: it is damaged.
    """
    network, meta = start(runtime, job, encoder)
    return network, instructing.with_template(meta, read_config(job.train), encoder.tokenizer)


def make_run(runtime: Runtime, job: JobRow, encoder: Encoder, network: Network, meta: ModelMeta, check: Check) -> Run:
    """The data and the task for a network that lies on its device; the reference is read beside it.

    Raises:
        InvalidRequest: a row cannot be learnt from; with its line.
        ModelNotFound, CheckpointNotFound, DataMissing: what the job goes on from is not there any more.
        Conflict: another network has its name by now.
        DatasetNotFound, TrainingStopped: as `read_examples`.
    """
    assert isinstance(network, Transformer), "only such networks are made or read here"
    config, tokenizer = read_config(job.train), encoder.tokenizer
    rows = AnswerRows.of(config, network.config, tokenizer, meta.chat_template, job.columns)
    found = read_examples(runtime, job, rows.taught_pair, lambda pair: 2 * len(pair), check)
    learnt, measured = [each.value for each in found.learnt], [each.value for each in found.measured]
    prompts = [pair.chosen for pair in measured or learnt]
    write = writer(network, tokenizer, prompts, config.sample_tokens, meta.eos_id)
    reference: Reference = partial(without_lora, network)  # which is what it began as, with the same weights
    if config.lora is None:
        reference = _reference(runtime, job, network.token_embedding.weight.device)
    task = Preferring(network, reference, config, (learnt, measured), job.seed, write)
    config = config.with_steps(config.steps(len(task.batches)))

    def shown(pair: TaughtPair) -> str:
        return tokenizer.decode(pair.chosen.ids[: pair.chosen.prompt_length])

    return Run(task, config, ExampleData(job, task.batches, found.learnt, shown))


def _reference(runtime: Runtime, job: JobRow, device: torch.device) -> Reference:
    """The network that the job began with, also where it goes on from a checkpoint of its own."""
    frozen = whole(base_weights(runtime, job).network).to(device).eval()
    return lambda: nullcontext(frozen)
