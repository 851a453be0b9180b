"""The recipe `word2vec`, from a job's row to what the training loop needs. Knows no lease, metric or checkpoint."""

from __future__ import annotations

from typing import Any

import torch

from app.db.tables.job import JobRow
from app.llm.checkpoint import ModelMeta, Network
from app.llm.config import Word2VecConfig
from app.llm.model.word_vectors import WordVectors
from app.llm.train.config import SkipGramConfig
from app.llm.train.word2vec import SkipGrams, shares_of_words
from app.services import tokens
from app.services.corpus import Encoder
from app.services.job_data import Check, Cut, WindowData, read_data
from app.services.recipe import Run
from app.services.runtime import Runtime


def read_config(train: dict[str, Any]) -> SkipGramConfig:
    """The settings of a job's row."""
    return SkipGramConfig(**train)


def make_network(_runtime: Runtime, job: JobRow, encoder: Encoder) -> tuple[Network, ModelMeta]:
    """New vectors, drawn from the job's seed."""
    torch.manual_seed(job.seed)
    config = Word2VecConfig(vocab_size=encoder.tokenizer.vocab_size, emb_dim=job.model["emb_dim"])
    return WordVectors(config), ModelMeta(config, job.tokenizer)


def make_run(runtime: Runtime, job: JobRow, encoder: Encoder, network: Network, _meta: ModelMeta, check: Check) -> Run:
    """The data and the task for vectors that lie on their device.

    Raises:
        InvalidRequest, DatasetNotFound, UnknownToken, TrainingStopped: as `read_data`.
    """
    assert isinstance(network, WordVectors), "only such networks are made here"
    config = read_config(job.train)
    tokenizer = encoder.tokenizer
    data = read_data(runtime, job, encoder, Cut(config.window_length, 1, 1, config.batch_size), check)
    config = config.with_steps(config.steps(len(data.train)))
    shares = shares_of_words(data.train, tokenizer.vocab_size, check)
    task = SkipGrams(
        network,
        config,
        data.train,
        data.validation,
        shares,
        word=lambda token_id: tokens.text_of(tokenizer, token_id),
        shown=tokenizer.encode(config.sample_prompt),
    )
    return Run(task, config, WindowData(job, data.train, 1, tokenizer))
