"""A classify job over the wire: what is asked for, what is refused with its line, and what the classifier answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.tables.model import ModelRow
from app.llm.checkpoint import ModelMeta, save_model
from app.llm.config import MAX_CLASSES, PRESETS, ClassifierConfig, ModelConfig
from app.llm.model.classifier import Classifier
from app.llm.model.transformer import Transformer
from app.llm.train.config import ClassifyConfig
from app.main import create_app
from app.schemas.classify import MAX_EXPLAINED, MAX_TEXTS, ClassifyOut
from tests.no_assets import no_assets

MESSAGES = "ferry-messages"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service without assets; a small network and two classifiers over the shipped story's words."""
    folder = tmp_path_factory.mktemp("classify")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=no_assets(folder / "no-assets"),
        database_url="", broker_url="", default_model="gpt", default_tokenizer="tides", max_text_bytes=2000,
    )  # fmt: skip
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        new = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        body = ModelConfig(
            **{**PRESETS["gpt-tiny"], "vocab_size": made.post("/tokenizers", json=new).json()["vocab_size"]}
        )
        torch.manual_seed(0)
        add(made, "gpt", Transformer(body), body)
        for name, classes in (("two", ("calm", "storm")), ("three", ("low", "high", "slack"))):
            shape = ClassifierConfig(body, classes, "last_token", 6, 0, 0.4 if name == "two" else None)
            add(made, name, Classifier(Transformer(body), len(classes)), shape)
        yield made


def add(client: TestClient, name: str, network: Any, config: Any) -> None:
    runtime = client.app.state.runtime
    save_model(runtime.storage.model(name), network, ModelMeta(config, "tides"))
    with runtime.database.write() as session:
        shape = {"config": config.to_dict(), "tokenizer": "tides", "sha256": "0"}
        session.add(ModelRow(name=name, family=config.family, parameters=1, size_bytes=1, **shape))


def upload(client: TestClient, rows: list[Any], name: str = "a.jsonl") -> str:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    answer = client.post("/datasets", files={"file": (name, content)})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def ask(client: TestClient, **fields: Any) -> Any:
    return client.post("/jobs", json={"recipe": "classify", "dataset": MESSAGES, "tokenizer": "tides"} | fields)


def refusal(answer: Any) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


def test_a_job_shows_what_it_will_do(client) -> None:
    answer = ask(client, train={"max_steps": 5}, seed=3)
    assert answer.status_code == 202, answer.text
    job = client.get(f"/jobs/{answer.json()['id']}").json()
    assert job["columns"] == {"text": "text", "label": "label"}
    assert (job["validation"], job["test"], job["dataset"]) == (0.1, 0.2, MESSAGES)
    assert job["train"] == {**ClassifyConfig(max_steps=5).__dict__}
    again = client.post(f"/jobs/{job['id']}/duplicate", json={"test": 0.1}).json()
    assert (again["columns"], again["test"], again["train"]) == (job["columns"], 0.1, job["train"])
    assert refusal(client.get(f"/jobs/{job['id']}/report")) == (404, "report_not_found", None)
    for each in (job, again):
        client.post(f"/jobs/{each['id']}/cancel", json={})


def test_columns_are_named_by_role_and_a_base_brings_its_tokenizer(client) -> None:
    dataset = upload(client, [{"said": f"the sea {n}", "kind": n % 2 == 0, "id": n} for n in range(20)])
    columns = {"text": "said", "label": "kind"}
    answer = client.post("/jobs", json={"recipe": "classify", "dataset": dataset, "model": "gpt", "columns": columns})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["columns"], answer.json()["tokenizer"]) == (columns, "tides")
    client.post(f"/jobs/{answer.json()['id']}/cancel", json={})


def test_columns_are_told_in_the_order_of_the_file(client) -> None:
    """They came the other way round, and of more than twenty columns the first ones were left out."""
    dataset = upload(client, [{"text": f"the sea {n}", "mood": "x", "place": "y"} for n in range(20)])
    answer = ask(client, dataset=dataset)
    assert refusal(answer) == (422, "missing_field", "columns.label")
    assert answer.json()["error"]["message"].endswith("has text, mood, place")


def labelled(count: int, **change: Any) -> list[Any]:
    rows = [{"text": f"the sea {n}", "label": "ab"[n % 2]} for n in range(count)]
    rows[2] |= change
    return rows


@pytest.mark.parametrize(
    ("rows", "param", "said"),
    [
        (labelled(20, label=None), "dataset", "line 3: label is empty"),
        (labelled(20, label=" "), "dataset", "line 3: label is empty"),
        (labelled(20, text=""), "dataset", "line 3: text is empty"),
        (labelled(20, text=["x"]), "dataset", "line 3: text must be text, not list"),
        (labelled(20, label="x" * 300), "dataset", "line 3: label: a label of 300 characters"),
        ([row | {"label": "a"} for row in labelled(20)], "dataset", "label is 'a' in every row"),
        (
            [{"text": "the sea", "label": str(n)} for n in range(10_000)],
            "dataset",
            f"line {MAX_CLASSES + 1}: there are more than {MAX_CLASSES:,} labels",
        ),
        ([{"text": "the sea", "label": str(n)} for n in range(3)], "validation", "none is left"),
    ],
    ids=["no label", "blank label", "no text", "a list", "a long label", "one class", "10,000 classes", "too few"],
)
def test_rows_that_cannot_be_learnt_from_are_told_with_their_line(client, rows, param: str, said: str) -> None:
    answer = ask(client, dataset=upload(client, rows))
    assert refusal(answer) == (422, "invalid_value", param)
    assert said in answer.json()["error"]["message"]


REFUSED = [
    ({"columns": {"label": "none"}}, "invalid_value", "columns.label"),
    ({"columns": {"text": "label", "label": "label"}}, "invalid_value", "columns.label"),
    ({"columns": {"chosen": "text"}}, "unknown_field", "columns.chosen"),
    ({"columns": {"text": 1}}, "invalid_value", "columns.text"),
    ({"columns": {"weight": "text"}}, "unknown_field", "columns.weight"),
    ({"dataset": "the-tide-clock"}, "invalid_value", "dataset"),
    ({"dataset": "small-tasks"}, "missing_field", "columns.label"),
    ({"dataset": [{"dataset": MESSAGES, "column": "text"}]}, "unknown_field", "dataset.0.column"),
    ({"dataset": [{"dataset": MESSAGES, "weight": 2.0}]}, "unknown_field", "dataset.0.weight"),
    ({"validation": {"dataset": MESSAGES, "column": "text"}}, "unknown_field", "validation.column"),
    ({"validation": "the-tide-clock"}, "invalid_value", "validation"),
    ({"validation": 0.5, "test": 0.5}, "invalid_value", "test"),
    ({"test": -0.1}, "invalid_value", "test"),
    ({"train": {"max_tokens": 65}}, "invalid_value", "train.max_tokens"),
    ({"train": {"trainable": "some"}}, "invalid_value", "train.trainable"),
    ({"train": {"context_length": 8}}, "unknown_field", "train.context_length"),
    ({"train": {"sample_prompt": "The"}}, "invalid_value", "train.sample_prompt"),
    ({"train": {"preset": "book-ch05"}}, "invalid_value", "train.preset"),
    ({"devices": 2}, "invalid_value", "devices"),
    ({"model": "two", "tokenizer": None}, "wrong_model", "model"),
    ({"recipe": "pretrain", "columns": {"text": "text"}}, "unknown_field", "columns.text"),
    ({"recipe": "pretrain", "test": 0.2}, "unknown_field", "test"),
    ({"recipe": "pretrain", "train": {"trainable": "head"}}, "invalid_value", "train.trainable"),
]


@pytest.mark.parametrize(("fields", "code", "param"), REFUSED, ids=[json.dumps(case[0]) for case in REFUSED])
def test_what_does_not_fit_together_is_refused(client, fields, code: str, param: str) -> None:
    assert refusal(ask(client, **fields)) == (422, code, param)


def test_the_book_is_a_preset(client) -> None:
    answer = client.post("/jobs/estimate", json={"recipe": "classify", "dataset": MESSAGES, "model": "gpt",
                                                 "train": {"preset": "book-ch06"}})  # fmt: skip
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["size"]["epochs"], told["size"]["exact"]) == (5.0, True)
    assert told["size"]["steps"] == 5 * (4 * 35 // 8)
    assert told["parameters"]["learning"] < told["parameters"]["all"]
    assert told["problems"] == []


def test_classes_come_with_their_probabilities(client) -> None:
    texts = ["the sea was high", "the clock", "the sea was high and the clock was slow in the tower"]
    answer = client.post("/classify", json={"model": "two", "input": texts})
    assert answer.status_code == 200, answer.text
    told = ClassifyOut.model_validate(answer.json())
    assert (told.classes, told.threshold) == (["calm", "storm"], 0.4)
    assert [(one.index, one.tokens, one.truncated) for one in told.data] == [(0, 4, False), (1, 2, False), (2, 6, True)]
    for one, text in zip(told.data, texts, strict=True):
        assert sum(one.probabilities.values()) == pytest.approx(1)
        assert one.label == ("storm" if one.probabilities["storm"] >= 0.4 else "calm")
        alone = client.post("/classify", json={"model": "two", "input": text}).json()["data"][0]
        assert alone["probabilities"] == pytest.approx(one.probabilities, abs=1e-6)
        assert (one.explanation, one.padding_share) == (None, None)
    assert told.usage.prompt_tokens == 12


def test_a_threshold_of_the_call_stands_over_the_classifiers_own(client) -> None:
    for threshold, label in ((0.0, "storm"), (1.0, "calm")):
        body = {"model": "two", "input": "the sea", "threshold": threshold}
        assert client.post("/classify", json=body).json()["data"][0]["label"] == label


def test_tokens_have_their_shares(client) -> None:
    text = "the sea was high and the clock was slow"
    told = client.post("/classify", json={"model": "three", "input": [text], "explain": True}).json()["data"][0]
    shares = told["explanation"]
    assert [text[one["start"] : one["end"]] for one in shares] == [one["text"] for one in shares]
    assert [one["text"] for one in shares] == text.split()[:6]
    assert sum(abs(one["share"]) for one in shares) == pytest.approx(1)
    assert told["padding_share"] == 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"model": "gpt"}, (422, "wrong_model", "model")),
        ({"model": "none"}, (404, "model_not_found", "model")),
        ({"model": "job_none@1"}, (404, "checkpoint_not_found", "model")),
        ({"input": ""}, (422, "invalid_value", "input")),
        ({"input": ["the", " "]}, (422, "invalid_value", "input.1")),
        ({"input": []}, (422, "invalid_value", "input")),
        ({"input": ["the"] * (MAX_TEXTS + 1)}, (422, "invalid_value", "input")),
        ({"input": "x" * 2001}, (413, "too_large", "input")),
        ({"input": ["the"] * (MAX_EXPLAINED + 1), "explain": True}, (413, "too_large", "explain")),
        ({"threshold": 1.5}, (422, "invalid_value", "threshold")),
        ({"model": "three", "threshold": 0.5}, (422, "invalid_value", "threshold")),
        ({"labels": 1}, (422, "unknown_field", "labels")),
    ],
    ids=lambda case: json.dumps(case)[:60] if isinstance(case, dict) else case[1],
)
def test_what_cannot_be_told_is_refused(client, fields, expected) -> None:
    answer = client.post("/classify", json={"model": "two", "input": "the sea"} | fields)
    assert refusal(answer) == expected


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"model": "two", "prompt": "the"}),
        ("/inspect", {"model": "two", "text": "the", "want": ["loss"]}),
        ("/models/two/load", None),
        ("/v1/chat/completions", {"model": "two", "messages": [{"role": "user", "content": "the"}]}),
        ("/v1/embeddings", {"model": "two", "input": "the"}),
    ],
    ids=lambda case: case if isinstance(case, str) else "",
)
def test_a_classifier_is_refused_by_name_where_text_is_written(client, path: str, body: Any) -> None:
    answer = client.post(path, json=body)
    assert refusal(answer) == (400 if path.startswith("/v1") else 422, "wrong_model", "model")
    assert "POST /classify" in answer.json()["error"]["message"]


def test_models_show_classifiers_and_those_that_write_are_listed_alone(client) -> None:
    two = client.get("/models/two").json()
    assert (two["family"], two["classes"], two["threshold"]) == ("classifier", ["calm", "storm"], 0.4)
    assert two["config"]["body"]["n_layers"] == 2
    gpt = client.get("/models/gpt").json()
    assert (gpt["classes"], gpt["threshold"], gpt["config"]["n_layers"]) == (None, None, 2)
    listed = {card["id"] for card in client.get("/v1/models").json()["data"]}
    assert (listed & {"gpt", "two", "three"}) == {"gpt"}
    assert refusal(client.get("/models/two/report")) == (404, "report_not_found", None)
    assert refusal(client.get("/models/none/report")) == (404, "model_not_found", "name")
    assert client.get("/models/two/download").content[8:9] == b"{"
    assert refusal(client.get("/models/two/export")) == (422, "wrong_model", "name")


def test_a_deleted_classifier_is_gone(client) -> None:
    vocab_size = client.get("/models/gpt").json()["config"]["vocab_size"]
    body = ModelConfig(**{**PRESETS["gpt-tiny"], "vocab_size": vocab_size})
    add(client, "gone", Classifier(Transformer(body), 2), ClassifierConfig(body, ("a", "b"), "last_token", 4, 0))
    assert client.post("/classify", json={"model": "gone", "input": "the sea"}).status_code == 200
    assert client.delete("/models/gone").status_code == 200
    assert refusal(client.post("/classify", json={"model": "gone", "input": "the sea"}))[1] == "model_not_found"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        (3, "input"),
        (None, "input"),
        ("\ud800", "input"),
        (["the sea", 3], "input.1"),
        (["the sea", "\ud800"], "input.1"),
    ],
)
def test_what_is_no_text_is_told_by_the_field(client, given: Any, param: str) -> None:
    """It was `input.function-after[...]`, and told of a list what is wrong with it as a text, too."""
    body, headers = json.dumps({"model": "two", "input": given}), {"content-type": "application/json"}
    answer = client.post("/classify", content=body, headers=headers)
    assert refusal(answer) == (422, "invalid_value", param)
