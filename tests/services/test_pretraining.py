"""A job in the book's order: the losses of the lessons' code to the bit, and the same run after a stop."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest
import torch

from app.config import Settings
from app.db.session import Database
from app.llm.config import ModelConfig
from app.llm.data.windows import Windows
from app.llm.model.book_start import book_network
from app.llm.model.transformer import Transformer
from app.llm.train import loop
from app.llm.train.config import TrainConfig
from app.llm.train.losses import next_token_loss
from tests.book_gpt import BatchTask, LoadedBatches, Trace
from tests.services.test_training import TEXT, House, after, equal, house_on

MODEL = dict(context_length=16, emb_dim=16, n_heads=2, n_layers=2, drop_rate=0.1, tied=False)
BOOK = dict(
    max_steps=23, batch_size=2, context_length=8, stride=8, learning_rate=4e-3, min_learning_rate=4e-3, grad_clip=None,
    order="book", eval_every=5, eval_offset=1, eval_batches=3, sample_every=9, checkpoint_every=4, keep_checkpoints=9,
)  # fmt: skip


@pytest.fixture
def house(settings: Settings, database: Database) -> Iterator[House]:
    yield from house_on(settings, database)


def book_job(house: House, name: str) -> str:
    return house.job(BOOK, name=name, model=dict(MODEL), seed=123)


def in_the_lessons_way(house: House) -> Trace:
    """The same run with torch's loaders, and the book's evaluations between the steps."""
    cut = int(0.9 * len(TEXT))
    parts = [Windows(torch.tensor(house.tokenizer.encode(text)), 8, 8) for text in (TEXT[:cut], TEXT[cut:])]
    torch.manual_seed(123)
    model = book_network(ModelConfig(**MODEL, vocab_size=house.tokenizer.vocab_size))
    train, validation = LoadedBatches(parts[0], 2, shuffle=True), LoadedBatches(parts[1], 2, shuffle=False)
    loss = partial(token_loss, model)
    trace = Trace(model, 5, 3, train, validation, loss)
    loop.train(
        BatchTask(model, train, loss),
        TrainConfig(max_steps=23, learning_rate=4e-3, min_learning_rate=4e-3, grad_clip=None),
        trace,
    )
    return trace


def token_loss(model: Transformer, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    hidden = model.hidden(batch[0])
    return next_token_loss(hidden, batch[1], model.output.weight)


def test_a_job_has_the_losses_of_the_lessons_code_to_the_bit(house: House) -> None:
    job_id = book_job(house, "as-in-the-book")
    house.run()
    assert house.row(job_id).status == "succeeded"
    measured = {row.step: row for row in house.metrics(job_id)}
    trace = in_the_lessons_way(house)
    assert [measured[report.step].loss for report in trace.reports] == [report.loss for report in trace.reports]
    assert [step for step, _, _ in trace.rows] == [0, 5, 10, 15, 20]
    for step, train_loss, val_loss in trace.rows:
        ours = measured[step + 1]
        assert (ours.train_loss, ours.val_loss) == (
            pytest.approx(train_loss, abs=1e-6),
            pytest.approx(val_loss, abs=1e-6),
        )
    assert equal(house.weights("as-in-the-book"), dict(trace.model.named_parameters()))


@pytest.mark.parametrize("stop", [4, 8, 16])
def test_a_job_that_was_stopped_goes_on_to_the_same_weights(stop: int, house: House) -> None:
    """Within epochs, and (16) with an evaluation of the book's at the checkpoint."""
    whole = book_job(house, "whole")
    house.run()
    job_id = book_job(house, "stopped")
    house.run(after(stop, house, job_id))
    assert house.row(job_id).status == "queued"
    house.run()
    assert house.row(job_id).attempt == 2
    assert equal(house.weights("stopped"), house.weights("whole"))
    assert [(row.step, row.loss, row.train_loss, row.val_loss) for row in house.metrics(job_id)] == [
        (row.step, row.loss, row.train_loss, row.val_loss) for row in house.metrics(whole)
    ]


def test_other_jobs_measure_no_training_loss(house: House) -> None:
    job_id = house.job()
    house.run()
    assert {row.train_loss for row in house.metrics(job_id)} == {None}
