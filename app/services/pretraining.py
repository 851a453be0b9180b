"""The recipe `pretrain`, from a job's row to what the training loop needs: the network, its data, its task.

Knows no lease, metric or checkpoint.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from app.db.tables.job import JobRow
from app.errors import InvalidRequest
from app.llm.checkpoint import ModelMeta, Network
from app.llm.data.book_order import LOADER_DRAWS, BookBatches
from app.llm.data.windows import Batches
from app.llm.evaluate import write_greedily
from app.llm.model.book_start import book_network
from app.llm.model.transformer import Transformer
from app.llm.train.config import TrainConfig
from app.llm.train.peak import flops_per_token
from app.llm.train.pretrain import Pretraining
from app.services.corpus import Encoder
from app.services.job_data import Check, Cut, Data, WindowData, read_data
from app.services.recipe import Run, window_length
from app.services.runtime import Runtime
from app.services.starting_network import start


def read_config(train: dict[str, Any]) -> TrainConfig:
    """The settings of a job's row."""
    return TrainConfig(**train)


def make_network(runtime: Runtime, job: JobRow, encoder: Encoder) -> tuple[Network, ModelMeta]:
    """The network that the job starts from: a new one, drawn from its seed, or a registered one to continue.

    Raises:
        AppError: the model to continue is not there (any more), or its tokenizer is not for it.
        BadConfig, BadWeights, BadCheckpoint: it cannot be made, or is damaged.
    """
    starts_as_in_the_book = read_config(job.train).order == "book"
    return start(runtime, job, encoder, book_network if starts_as_in_the_book else Transformer)


def make_run(runtime: Runtime, job: JobRow, encoder: Encoder, network: Network, meta: ModelMeta, check: Check) -> Run:
    """The data and the task for a network that lies on its device.

    Raises:
        InvalidRequest: a window does not fit the context, a text holds none, or the samples' prompt has no token.
        DatasetNotFound, UnknownToken, TrainingStopped: as `read_data`.
    """
    assert isinstance(network, Transformer), "only such networks are made or read here"
    config = read_config(job.train)
    length = window_length(config, network.config.context_length)
    cut = Cut(length, config.stride or length, length, config.batch_size)
    data = read_data(runtime, job, encoder, cut, check)
    counted = data.train  # what is read of each text is the same in any order
    config = config.with_steps(config.steps(len(data.train)))
    if config.order == "book":
        data = book_data(data, config)
    batches = data.train
    make_task = partial(_make_task, network, config, data.validation, encoder, meta.eos_id)
    # Of frozen blocks a part is computed once, and remembered, or no gradient: there is no one number.
    learns_whole = config.trainable == "all" and config.lora is None
    flops = flops_per_token(network.config, length) if learns_whole else None
    return Run(
        make_task(batches),
        config,
        WindowData(job, counted, length, encoder.tokenizer),
        flops_per_token=flops,
        part=None if isinstance(batches, BookBatches) else lambda n, count: make_task(batches.part(n, count)),
    )


def book_data(data: Data, config: TrainConfig) -> Data:
    """The same windows as the book's two loaders give them: one that shuffles, and one that does not, whole to its end.

    Between an evaluation and the next step stands what the evaluation drew in going through both of them.
    """
    validation, draws = None, LOADER_DRAWS + 1
    if data.validation is not None:
        validation = Batches(data.validation.windows, config.batch_size, seed=None, drop_last=False)
        draws += LOADER_DRAWS

    def draws_before(step: int) -> int:
        return draws if step > 0 and step % config.eval_every == config.eval_offset else 0

    return Data(BookBatches(data.train.windows, config.batch_size, draws_before), validation)


def _make_task(
    model: Transformer,
    config: TrainConfig,
    validation: Batches | None,
    encoder: Encoder,
    eos_id: int | None,
    train: Batches,
) -> Pretraining:
    tokenizer = encoder.tokenizer
    prompt = tokenizer.encode(config.sample_prompt)
    if not prompt:
        raise InvalidRequest(f"{config.sample_prompt!r} has no token", param="train.sample_prompt")

    def write(check: Check) -> str:
        written = write_greedily(model, prompt, config.sample_tokens, stop_id=eos_id, check=check)
        return tokenizer.decode([*prompt, *written])

    return Pretraining(model, config, train, validation, write)
