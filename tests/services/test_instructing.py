"""An instruct job from its row to a model that answers by its template: learnt, resumed, refused with lines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
import torch

from app.config import Settings
from app.db.session import Database
from app.llm.checkpoint import ModelMeta, load_model, save_model
from app.llm.config import PRESETS, ModelConfig
from app.llm.model.transformer import Transformer
from app.llm.train.config import InstructConfig
from app.schemas.generate import GenerateIn, Message
from app.services import generation, model_files
from app.services.answer_rows import AnswerRows
from app.services.chat import ChatTemplate
from app.services.job_rows import Line
from app.services.prompt_templates import TEMPLATES
from tests.fakes import CHATML, ByteTokenizer
from tests.jobs_made import a_dataset, a_job, a_model
from tests.services.test_training import House, after, equal, house_on

WORDS = ["ant", "bee", "cow", "dog", "eel", "fox"]
ROWS = [{"instruction": "Say it.", "input": word, "output": word.upper()} for word in WORDS * 4]
BODY = ModelConfig(
    **{**PRESETS["gpt-tiny"], "vocab_size": ByteTokenizer.vocab_size, "context_length": 256, "drop_rate": 0.1}
)
TRAIN = asdict(
    InstructConfig(
        max_steps=6, batch_size=4, learning_rate=3e-3, eval_every=3, sample_every=6, sample_tokens=4,
        checkpoint_every=2, template="alpaca",
    )
)  # fmt: skip


def add_rows(house: House, dataset_id: str, values: list[dict[str, Any]]) -> None:
    lines = [json.dumps(value) for value in values]
    house.runtime.storage.dataset(dataset_id).write_text("\n".join(lines) + "\n")
    names = list(dict.fromkeys(name for value in values for name in value))
    with house.database.write() as session:
        a_dataset(
            session, dataset_id, kind="records", format="jsonl", rows=len(values), characters=0, sha256=dataset_id,
            columns=[{"name": name, "type": "text"} for name in names],
        )  # fmt: skip


def add_model(house: House, name: str = "base", chat_template: str | None = None) -> None:
    torch.manual_seed(3)
    meta = ModelMeta(BODY, "bytes", ByteTokenizer.eos_id, chat_template)
    saved = save_model(house.runtime.storage.model(name), Transformer(BODY), meta)
    with house.database.write() as session:
        session.add(a_model(name, tokenizer="bytes", config=BODY.to_dict(), parameters=1, sha256=saved.weights_sha256))


def a_house(settings: Settings, database: Database) -> Iterator[House]:
    for made in house_on(settings, database):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(made.runtime.tokenizers, "get", lambda *_args, **_more: ByteTokenizer())
            add_rows(made, "ds_2", ROWS)
            add_model(made)
            yield made


@pytest.fixture
def house(settings: Settings, database: Database) -> Iterator[House]:
    yield from a_house(settings, database)


def queue(house: House, train: dict[str, Any] | None = None, **fields: Any) -> str:
    given = {
        "recipe": "instruct", "name": "a-model", "model": {"name": "base"}, "tokenizer": "bytes",
        "datasets": [{"dataset": "ds_2", "weight": 1.0}], "validation": {"fraction": 0.25, "test": 0.0},
    }  # fmt: skip
    with house.database.write() as session:
        return a_job(session, **given | fields, train=TRAIN | (train or {})).id


def test_the_model_that_comes_out_knows_its_template(house: House):
    job_id = queue(house)
    house.run()
    row, model = house.row(job_id), house.model()
    assert (row.status, row.step, row.error) == ("succeeded", 6, None)
    assert (model.family, model.base_model) == ("gpt2", "base")
    _, meta = load_model(house.runtime.storage.model("a-model"))
    assert (meta.chat_template, meta.eos_id) == (TEMPLATES["alpaca"], ByteTokenizer.eos_id)
    with house.database.read() as session:
        found = model_files.chat_template(model_files.find(session, house.runtime.storage, "a-model"))
    assert found == TEMPLATES["alpaca"]
    losses = [metric.val_loss for metric in house.metrics(job_id) if metric.val_loss is not None]
    assert losses[-1] < losses[0]
    (sample,) = house.events(job_id, "sample")
    assert sample.data["text"].count("### Response:\n") == 3


def test_an_adapter_learns_to_answer_and_answers_beside_its_base(house: House):
    job_id = queue(house, {"lora": {"rank": 4, "alpha": 8.0}, "learning_rate": 3e-2}, name="base:helper")
    house.run()
    row, model = house.row(job_id), house.model("base:helper")
    assert (row.status, row.step, row.error) == ("succeeded", 6, None)
    assert (model.family, model.base_model) == ("adapter", "base")
    losses = [metric.val_loss for metric in house.metrics(job_id) if metric.val_loss is not None]
    assert losses[-1] < losses[0]

    async def templates() -> list[str | None]:
        found = [await house.runtime.models.wait_for(name) for name in ("base:helper", "base")]
        assert found[0].loop is found[1].loop
        assert ByteTokenizer.eos_id in found[0].stop_ids
        return [each.chat_template and each.chat_template.source for each in found]

    assert asyncio.run(templates()) == [TEMPLATES["alpaca"], None]
    house.runtime.models.close()


def test_the_model_that_comes_out_answers_messages_by_it(house: House):
    queue(house)
    house.run()

    async def answer() -> str:
        body = GenerateIn(model="a-model", messages=[Message(role="user", content="Say it.")], max_new_tokens=3)
        work = await generation.prepare(house.runtime, body)
        model = await house.runtime.models.wait_for("a-model")
        assert ByteTokenizer.eos_id in model.stop_ids
        asked = ByteTokenizer().decode(generation.chat_ids(model, body.messages or []))
        assert asked.endswith("request.\n\n### Instruction:\nSay it.\n\n### Response:\n")
        work.start()
        (choice,) = await work.collect()
        return choice.finish_reason

    assert asyncio.run(answer()) in ("length", "stop")


def test_a_model_with_a_template_of_its_own_keeps_it(house: House):
    add_model(house, "chatty", CHATML)
    job_id = queue(house, {"template": "chat"}, model={"name": "chatty"})
    house.run()
    assert house.row(job_id).error is None
    _, meta = load_model(house.runtime.storage.model("a-model"))
    assert meta.chat_template == CHATML
    assert "<|im_start|>assistant\n" in house.events(job_id, "sample")[0].data["text"]


def test_a_job_that_was_stopped_ends_with_the_same_weights(house: House):
    queue(house, name="whole")
    house.run()
    stopped = queue(house)
    house.run(after(2, house, stopped))
    assert house.row(stopped).status == "queued"
    house.run()
    assert house.row(stopped).status == "succeeded"
    assert equal(house.weights("whole"), house.weights())


def test_columns_are_read_by_the_names_that_were_given(house: House):
    add_rows(house, "ds_3", [{"question": word, "reply": word.upper(), "instruction": 5} for word in WORDS])
    datasets = [{"dataset": "ds_3", "weight": 1.0}]
    job_id = queue(house, datasets=datasets, columns={"prompt": "question", "completion": "reply"})
    house.run()
    assert house.row(job_id).error is None


def test_a_row_that_changed_its_mind_fails_the_job_with_its_line(house: House):
    add_rows(house, "ds_3", [*ROWS[:2], {"instruction": "x", "output": " "}])
    job_id = queue(house, datasets=[{"dataset": "ds_3", "weight": 1.0}])
    house.run()
    error = house.row(job_id).error
    assert (error["code"], error["param"]) == ("invalid_value", "dataset")
    assert "line 3: output: it is empty" in error["message"]


def test_the_model_is_asked_as_it_was_taught(house: House):
    """What chat renders of the same turn is how the taught rows begin."""
    rows = AnswerRows.of(InstructConfig(template="alpaca"), BODY, ByteTokenizer(), None, {})
    taught = rows.taught(Line("ds", 0, 1, {"instruction": "Say it.", "input": "ant", "output": "ANT"}, "dataset"))
    asked = ChatTemplate(TEMPLATES["alpaca"], ByteTokenizer()).encode(
        [Message(role="user", content="Say it.\n\n### Input:\nant")]
    )
    assert taught.ids[: taught.prompt_length] == asked
