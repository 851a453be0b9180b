"""What a preset says, and what stands over it."""

from __future__ import annotations

import pytest

from app.errors import InvalidRequest, UnknownField
from app.llm.config import PRESETS, ModelConfig
from app.llm.train.config import InstructConfig, TrainConfig
from app.schemas.job import JobCreate
from app.services.train_presets import BOOK_GPT, TRAIN_PRESETS, filled
from tests.book_gpt import GPT_124M


def asked(**fields: object) -> JobCreate:
    return JobCreate.model_validate({"recipe": "pretrain", "dataset": "ds_1"} | fields)


def test_without_a_preset_a_request_is_as_it_is() -> None:
    body = asked(train={"batch_size": 3})
    assert filled(body) is body


PRETRAINING = [name for name, preset in TRAIN_PRESETS.items() if preset.recipe == "pretrain"]


@pytest.mark.parametrize("name", PRETRAINING)
def test_a_preset_is_a_whole_job(name: str) -> None:
    body = filled(asked(train={"preset": name}))
    assert (body.seed, body.tokenizer, body.validation) == (123, "gpt2", 0.1)
    fields = {key: value for key, value in body.model.model_dump(exclude_none=True).items() if key != "preset"}
    assert ModelConfig(**PRESETS[BOOK_GPT["preset"]] | fields, vocab_size=50257) == GPT_124M
    train = TrainConfig(**body.train.model_dump(exclude_unset=True))
    assert (train.order, train.batch_size, train.weight_decay, train.context_length) == ("book", 2, 0.1, 256)
    assert (train.eval_every, train.eval_offset) == (5, 1)
    assert filled(body) is body  # nothing is left of the preset's name


def test_the_settings_are_the_books() -> None:
    first = TrainConfig(**TRAIN_PRESETS["book-ch05"].train)
    assert (first.epochs, first.learning_rate, first.min_learning_rate, first.grad_clip) == (10, 4e-4, 4e-4, None)
    second = TrainConfig(**TRAIN_PRESETS["book-appd"].train)
    assert (second.epochs, second.learning_rate, second.min_learning_rate) == (15, 1e-3, 1e-5)
    assert (second.warmup_steps, second.grad_clip, second.eval_batches) == (27, 1.0, 1)


def test_chapter_7s_is_one_of_instruct_and_names_no_model() -> None:
    body = filled(asked(recipe="instruct", model="tide", train={"preset": "book-ch07"}))
    train = InstructConfig(**body.train.model_dump(exclude_unset=True))
    assert (train.epochs, train.batch_size, train.learning_rate, train.min_learning_rate) == (2, 8, 5e-5, 5e-5)
    assert (train.template, train.mask_prompt, train.max_tokens, train.grad_clip) == ("alpaca", False, 1024, None)
    assert (body.model, body.seed, body.validation) == ("tide", 123, 0.1)
    with pytest.raises(InvalidRequest, match="no preset 'book-ch07' of recipe pretrain"):
        filled(asked(train={"preset": "book-ch07"}))


def test_what_is_said_stands_over_it() -> None:
    body = filled(
        asked(train={"preset": "book-ch05", "max_steps": 7, "batch_size": 4}, seed=None, model={"preset": "gpt-tiny"})
    )
    assert (body.train.max_steps, body.train.epochs, body.train.batch_size) == (7, None, 4)
    assert body.seed is None
    assert body.model.preset == "gpt-tiny"


def test_a_model_that_goes_on_keeps_its_tokenizer() -> None:
    body = filled(asked(train={"preset": "book-ch05"}, model="mine"))
    assert (body.model, body.tokenizer) == ("mine", None)


def test_what_is_no_preset_is_refused() -> None:
    with pytest.raises(InvalidRequest) as refused:
        filled(asked(train={"preset": "book-ch99"}))
    assert refused.value.param == "train.preset"
    assert "book-ch05, book-appd" in refused.value.message
    with pytest.raises(UnknownField) as odd:
        filled(asked(recipe="word2vec", train={"preset": "book-ch05"}))
    assert odd.value.param == "train.preset"
