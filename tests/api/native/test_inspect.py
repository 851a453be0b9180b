"""POST /inspect over the wire: the numbers in both encodings, slices, refusals, memory."""

import base64
import json
import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from app.api.native import embeddings
from app.llm.config import PRESETS, ModelConfig
from app.llm.model.inspect_view import WANTS
from app.llm.model.transformer import Transformer
from app.schemas.inspect import InspectOut
from app.services import memory
from app.services import models as models_service
from app.services.model_files import BUILT_IN
from app.services.runtime import Runtime
from tests.fakes import IM_START, ByteTokenizer, scripted_runtime
from tests.serving import app_of, served

TEXT = "né 👍!"  # nine bytes, so nine tokens
COUNT = len(TEXT.encode())
JSON = ("logit_lens", "loss", "next")
TENSORS = tuple(want for want in WANTS if want not in JSON)


def network_of(preset: str = "llama-tiny", **changed: object) -> Transformer:
    torch.manual_seed(4)
    config = ModelConfig(**{"vocab_size": ByteTokenizer.vocab_size, **PRESETS[preset], **changed})
    return Transformer(config).eval().requires_grad_(False)


def runtime_of(settings, database, network: Transformer, **fields: object) -> Runtime:
    return scripted_runtime(settings.model_copy(update=fields), database, lambda *_: network)


@pytest.fixture
def make(settings, database):
    runtimes: list[Runtime] = []

    def make(network: Transformer | None = None, **fields: object) -> TestClient:
        runtimes.append(runtime_of(settings, database, network or network_of(), **fields))
        return TestClient(app_of(runtimes[-1]), raise_server_exceptions=False)

    yield make
    for runtime in runtimes:
        runtime.models.close()


def asked(client: TestClient, **body: object) -> dict:
    answer = client.post("/inspect", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def array(tensor: dict) -> np.ndarray:
    assert set(tensor) == {"shape", "dtype", "data"}
    if isinstance(tensor["data"], str):
        return np.frombuffer(base64.b64decode(tensor["data"], validate=True), "<f4").reshape(tensor["shape"])
    found = np.array(tensor["data"], dtype=np.float32)
    assert list(found.shape) == tensor["shape"]
    return found


def tensors(answer: dict) -> dict[str, np.ndarray]:
    found = {}
    for want in set(TENSORS) & set(answer):
        parts = {"": answer[want]} if "shape" in answer[want] else answer[want]
        found |= {f"{want}.{name}": array(part) for name, part in parts.items() if part is not None}
    return found


@pytest.mark.parametrize("preset", ["llama-tiny", "gpt-tiny"])
def test_everything_in_both_encodings(make, preset):
    client = make(network_of(preset))
    answer = asked(client, text=TEXT, want=list(WANTS))
    assert set(answer) == set(InspectOut.model_fields)
    assert InspectOut.model_validate(answer).model_dump() == answer
    assert (answer["count"], answer["model"]) == (COUNT, "smollm2-135m-instruct")
    assert bytes(byte for token in answer["tokens"] for byte in token["bytes"]).decode() == TEXT
    assert (answer["layers"], answer["heads"], answer["positions"]) == ([0, 1], [0, 1, 2, 3], list(range(COUNT)))
    assert (answer["embeddings"]["position"] is None) == (preset == "llama-tiny")
    assert answer["attention"]["shape"] == [2, 4, COUNT, COUNT]
    assert answer["masked"]["data"][0][0][0][:2] == [pytest.approx(answer["scores"]["data"][0][0][0][0]), None]
    packed = asked(client, text=TEXT, want=list(WANTS), encoding="base64")
    nested, exact = tensors(answer), tensors(packed)
    assert nested.keys() == exact.keys()
    assert len(nested) == (25 if preset == "gpt-tiny" else 24)
    for name, values in exact.items():
        assert np.array_equal(np.where(np.isfinite(values), values, np.nan), nested[name], equal_nan=True), name
    assert (exact["masked."][0, 0, 0, 1:] == -math.inf).all()
    assert {key: packed[key] for key in JSON} == {key: answer[key] for key in JSON}


def test_the_numbers_are_those_of_the_network(make):
    network = network_of()
    answer = asked(make(network), text=TEXT, want=["loss", "next", "logit_lens"], temperature=0.5, top_k=2, top=3)
    logits = network(torch.tensor([list(TEXT.encode())]))[0]
    logprobs = logits.log_softmax(-1)
    targets = list(TEXT.encode())[1:]
    assert [one["position"] for one in answer["loss"]["tokens"]] == list(range(COUNT - 1))
    assert [one["id"] for one in answer["loss"]["tokens"]] == targets
    losses = [-logprobs[place, token_id].item() for place, token_id in enumerate(targets)]
    assert [one["loss"] for one in answer["loss"]["tokens"]] == pytest.approx(losses, abs=1e-5)
    assert answer["loss"]["mean"] == pytest.approx(sum(losses) / len(losses), abs=1e-5)
    last = answer["next"][-1]["top"]
    assert [one["id"] for one in last] == logprobs[-1].topk(3).indices.tolist()
    assert [one["logit"] for one in last] == pytest.approx(logits[-1].topk(3).values.tolist(), abs=1e-5)
    assert last[2]["sampled_logprob"] is None  # top_k is 2
    assert math.exp(last[0]["sampled_logprob"]) + math.exp(last[1]["sampled_logprob"]) == pytest.approx(1)
    gap = last[0]["logprob"] - last[1]["logprob"]
    assert last[0]["sampled_logprob"] - last[1]["sampled_logprob"] == pytest.approx(2 * gap, abs=1e-4)
    lens = answer["logit_lens"]
    assert [one["layer"] for one in lens] == [0, 1]
    assert [one["id"] for one in lens[1]["tokens"][-1]["top"]] == [one["id"] for one in last]


def test_slices_and_ids_and_messages(make):
    client = make()
    whole = tensors(asked(client, text=TEXT, want=["attention", "residual"]))
    answer = asked(
        client, ids=list(TEXT.encode()), want=["attention", "residual"], layers=[1], heads=[2, 0], tokens=[8, 3]
    )
    assert (answer["layers"], answer["heads"], answer["positions"], answer["count"]) == ([1], [2, 0], [8, 3], COUNT)
    part = tensors(answer)
    np.testing.assert_allclose(part["attention."], whole["attention."][[1]][:, [2, 0]][:, :, [8, 3]], atol=1e-6)
    np.testing.assert_allclose(part["residual.embedding"], whole["residual.embedding"][[8, 3]], atol=1e-6)
    chat = asked(client, messages=[{"role": "user", "content": "Hi"}], want=["norms"])
    assert [token["id"] for token in chat["tokens"]].count(IM_START) == 2
    one = asked(client, text="a", want=["loss", "next"])
    assert one["loss"] == {"mean": None, "tokens": []}


def test_a_network_whose_numbers_are_none(make):
    """NaN is null, not a broken document."""
    network = network_of()
    network.final_norm.scale.fill_(math.nan)
    answer = asked(make(network), text="ab", want=["loss", "logits", "attention", "next"])
    assert (answer["loss"]["mean"], answer["loss"]["tokens"][0]["loss"]) == (None, None)
    assert answer["logits"]["raw"]["data"][0][:2] == [None, None]
    assert answer["attention"]["data"][0][0][0] == [1.0, 0.0]


ASK = {"text": "abc", "want": ["attention"]}
REFUSED = {
    "no want": ({"text": "a"}, 422, "missing_field", "want"),
    "nothing wanted": (ASK | {"want": []}, 422, "invalid_value", "want"),
    "an unknown want": (ASK | {"want": ["attention", "soul"]}, 422, "invalid_value", "want.1"),
    "a want twice": (ASK | {"want": ["loss", "loss"]}, 422, "invalid_value", "want"),
    "a million wants": (ASK | {"want": ["loss"] * 100_000}, 422, "invalid_value", "want"),
    "no text": ({"want": ["loss"]}, 422, "invalid_value", "text"),
    "an empty text": (ASK | {"text": ""}, 422, "invalid_value", "text"),
    "a surrogate": ('{"text": "\\ud800", "want": ["loss"]}', 422, "invalid_value", "text"),
    "text and ids": (ASK | {"ids": [1]}, 422, "invalid_value", "ids"),
    "text and messages": (ASK | {"messages": [{"role": "user", "content": ""}]}, 422, "invalid_value", "messages"),
    "no ids": ({"ids": [], "want": ["loss"]}, 422, "invalid_value", "ids"),
    "an id too high": ({"ids": [1, 259], "want": ["loss"]}, 422, "token_out_of_range", "ids.1"),
    "a negative id": ({"ids": [-1], "want": ["loss"]}, 422, "token_out_of_range", "ids.0"),
    "an id beyond all": ({"ids": [0, 10**3000], "want": ["loss"]}, 422, "token_out_of_range", "ids.1"),
    "half an id": ({"ids": [1.5], "want": ["loss"]}, 422, "invalid_value", "ids"),
    "true is no id": ({"ids": [True], "want": ["loss"]}, 422, "invalid_value", "ids"),
    "a text as ids": ({"ids": "12", "want": ["loss"]}, 422, "invalid_value", "ids"),
    "too long": (ASK | {"text": "a" * 65}, 422, "context_length_exceeded", "text"),
    "too many ids": ({"ids": [1] * 65, "want": ["loss"]}, 422, "context_length_exceeded", "ids"),
    "messages too long": (
        {"messages": [{"role": "user", "content": "a" * 65}], "want": ["loss"]},
        422, "context_length_exceeded", "messages",
    ),
    "a layer too many": (ASK | {"layers": [0, 2]}, 422, "invalid_value", "layers.1"),
    "a layer below": (ASK | {"layers": [-1]}, 422, "invalid_value", "layers.0"),
    "a layer twice": (ASK | {"layers": [1, 0, 1]}, 422, "invalid_value", "layers.2"),
    "no layer": (ASK | {"layers": []}, 422, "invalid_value", "layers"),
    "a layer by name": (ASK | {"layers": ["0"]}, 422, "invalid_value", "layers"),
    "a layer beyond all": (ASK | {"layers": [10**3000]}, 422, "invalid_value", "layers.0"),
    "a head too many": (ASK | {"heads": [4]}, 422, "invalid_value", "heads.0"),
    "a head twice": (ASK | {"heads": [0, 0]}, 422, "invalid_value", "heads.1"),
    "a token too many": (ASK | {"tokens": [3]}, 422, "invalid_value", "tokens.0"),
    "a token twice": (ASK | {"tokens": [2, 2]}, 422, "invalid_value", "tokens.1"),
    "no token at all": (ASK | {"tokens": []}, 422, "invalid_value", "tokens"),
    "top 0": (ASK | {"top": 0}, 422, "invalid_value", "top"),
    "top 51": (ASK | {"top": 51}, 422, "invalid_value", "top"),
    "a temperature for nothing": (ASK | {"temperature": 1.0}, 422, "invalid_value", "temperature"),
    "top_k for nothing": (ASK | {"want": ["attention", "loss"], "top_k": 3}, 422, "invalid_value", "top_k"),
    "top_p for nothing": (ASK | {"want": ["logit_lens"], "top_p": 0.5}, 422, "invalid_value", "top_p"),
    "min_p for nothing": (ASK | {"min_p": 0.1}, 422, "invalid_value", "min_p"),
    "top for nothing": (ASK | {"want": ["logits"], "top": 3}, 422, "invalid_value", "top"),
    "temperature NaN": ('{"text": "a", "want": ["next"], "temperature": NaN}', 422, "invalid_value", "temperature"),
    "temperature -1": (ASK | {"temperature": -1}, 422, "invalid_value", "temperature"),
    "top_k 0": (ASK | {"top_k": 0}, 422, "invalid_value", "top_k"),
    "top_p 0": (ASK | {"top_p": 0}, 422, "invalid_value", "top_p"),
    "min_p 2": (ASK | {"min_p": 2}, 422, "invalid_value", "min_p"),
    "an encoding": (ASK | {"encoding": "pickle"}, 422, "invalid_value", "encoding"),
    "an unknown field": (ASK | {"seed": 1}, 422, "unknown_field", "seed"),
    "an unknown model": (ASK | {"model": "nothing"}, 404, "model_not_found", "model"),
    "an unknown checkpoint": (ASK | {"model": "job_1@5"}, 404, "checkpoint_not_found", "model"),
    "more text than a call": (ASK | {"text": "a" * (1024 * 1024 + 1)}, 413, "too_large", "text"),
    "no json": ('{"text": ', 400, "invalid_json", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def refusing(tmp_path_factory) -> Iterator[TestClient]:
    from app.config import Settings
    from app.db.migrate import migrate
    from app.db.session import Database

    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("data"), database_url="", broker_url="")
    database = Database(settings.effective_database_url)
    migrate(database)
    network = network_of()
    for block in network.blocks:
        block.register_forward_pre_hook(computed)
    runtime = runtime_of(settings, database, network)
    with TestClient(app_of(runtime), raise_server_exceptions=False) as client:
        yield client
    runtime.models.close()
    database.dispose()


def computed(*_: object) -> None:
    raise AssertionError("nothing should be computed")


@pytest.mark.parametrize(("body", "status", "code", "param"), REFUSED.values(), ids=REFUSED)
def test_refused_in_the_one_shape_with_nothing_computed(refusing, body, status, code, param):
    content = body if isinstance(body, str) else json.dumps(body)
    answer = refusing.post("/inspect", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert 0 < len(error["message"]) < 1000
    if param is not None:
        assert param.split(".")[0] in error["message"]


def test_without_its_file_a_model_still_writes(make, monkeypatch):
    """What reads the float32 weights is told; what has them packed used to go on for two seconds only."""
    monkeypatch.setattr(models_service, "LOOK_AGAIN_S", 0.0)
    client = make()
    client.app.include_router(embeddings.router)
    assert asked(client, text=TEXT, want=["loss"])
    models = client.app.state.runtime.models
    models.get().network.let_go()
    client.app.state.runtime.storage.asset(BUILT_IN[models.get().name].file_name).unlink()
    refused = [
        client.post("/inspect", json={"text": TEXT, "want": ["loss"]}),
        client.post("/embeddings", json={"ids": [1]}),
        client.post("/v1/embeddings", json={"model": models.get().name, "input": TEXT}),
    ]
    for answer in refused:
        assert answer.status_code == 424, answer.text
        error = answer.json()["error"]
        assert (error["code"], error["param"]) == ("data_missing", "model")
    assert client.post("/generate", json={"prompt": TEXT, "max_new_tokens": 2}).status_code == 200


def test_a_model_without_a_template_takes_no_messages(settings, database):
    runtime = scripted_runtime(settings, database, lambda *_: network_of(), chat_template=None)
    ask = {"messages": [{"role": "user", "content": "a"}], "want": ["loss"]}
    answer = TestClient(app_of(runtime)).post("/inspect", json=ask)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "no_chat_template")
    runtime.models.close()


def test_a_vocabulary_that_does_not_fit_the_tokenizer(make):
    answer = make(network_of(vocab_size=300)).post("/inspect", json=ASK)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (424, "data_missing", "model")
    assert "300" in error["message"]
    assert "259" in error["message"]


BUDGETS = {
    "attention of everything": ({"want": ["attention"]}, "layers"),
    "of one layer": ({"want": ["scores", "loss"], "layers": [0]}, "heads"),
    "of one head": ({"want": ["attention"], "layers": [0], "heads": [1]}, "tokens"),
    "the stream": ({"want": ["norms", "residual"]}, "layers"),
    "the stream of one layer": ({"want": ["residual"], "layers": [1]}, "tokens"),
    "the lens": ({"want": ["logit_lens"]}, "layers"),
    "all logits": ({"want": ["logits"]}, "tokens"),
    "next tokens": ({"want": ["next"], "top": 50}, "tokens"),
    "keys, which are of all tokens": ({"want": ["keys"], "layers": [0], "heads": [0], "tokens": [0]}, "want"),
    "what a layer reads": ({"want": ["input"], "layers": [1]}, "tokens"),
    "one vector": ({"want": ["embeddings"], "tokens": [0]}, "want"),
}


@pytest.mark.parametrize(("fields", "param"), BUDGETS.values(), ids=BUDGETS)
def test_what_is_too_large_names_the_field_to_slice_by(make, fields, param):
    client = make(inspect_max_bytes=500)
    answer = client.post("/inspect", json={"text": "a" * 64} | fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (413, "too_large", param)
    assert "500 (INKLING_INSPECT_MAX_BYTES)" in error["message"]


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


def test_ten_gigabytes_are_refused_before_anything_is_computed(make):
    network = network_of(context_length=8192, n_layers=8, n_heads=16, n_kv_heads=4)
    for block in network.blocks:
        block.register_forward_pre_hook(computed)
    client = make(network)
    client.post("/inspect", json=ASK | {"layers": [99]})  # the model is loaded
    before = rss_mb()
    answer = client.post("/inspect", json={"ids": [7] * 4608, "want": ["attention"]})
    assert answer.status_code == 413
    assert f"{8 * 16 * 4608**2 * 4:,}" in answer.json()["error"]["message"]  # 10.9 GB
    assert rss_mb() - before < 20


def test_the_budget_is_what_may_be_asked(make):
    bytes_asked = 2 * 4 * COUNT * COUNT * 4
    ask = {"text": TEXT, "want": ["attention"]}
    assert make(inspect_max_bytes=bytes_asked).post("/inspect", json=ask).status_code == 200
    assert make(inspect_max_bytes=bytes_asked - 1).post("/inspect", json=ask).status_code == 413


def test_many_at_once_stay_within_memory_and_give_it_back(settings, database):
    """Eight answers of 50 MB each, 400 in all: two are held at a time, and none afterwards."""
    network = network_of(context_length=1024, n_layers=3)
    runtime = runtime_of(settings, database, network)
    ask = {"ids": [7] * 1024, "want": ["attention"], "encoding": "base64"}
    with served(app_of(runtime)) as port:
        url = f"http://127.0.0.1:{port}/inspect"

        def read(_: object = None) -> int:
            with httpx.stream("POST", url, json=ask, timeout=60) as answer:
                return sum(map(len, answer.iter_raw()))

        with ThreadPoolExecutor(4) as pool:  # what the allocator keeps for its threads, it keeps from now on
            one, *_ = pool.map(read, range(4))
        assert one > 3 * 4 * 1024 * 1024 * 4 * 4 / 3
        memory.collect()
        before, highest, is_over = rss_mb(), [0.0], threading.Event()

        def watch() -> None:
            while not is_over.wait(0.005):
                highest[0] = max(highest[0], rss_mb())

        watching = threading.Thread(target=watch)
        watching.start()
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(read, range(8))) == {one}
        is_over.set()
        watching.join()
        memory.collect()
        assert highest[0] - before < 4 * 51, "more than two were held"
        assert rss_mb() - before < 25
    runtime.models.close()


def test_others_compute_between_two_layers(make):
    """The gate is passed for each step, so that a text being written goes on meanwhile."""
    client = make(network_of(n_layers=2))
    gate, entered = client.app.state.runtime.models.get().gate, []
    enter = type(gate).__enter__

    class Counting(type(gate)):
        def __enter__(self) -> None:
            entered.append(1)
            enter(self)

    gate.__class__ = Counting
    asked(client, text="abc", want=["loss", "logit_lens"])
    assert len(entered) == 1 + 2 + 2 + 1 + 1  # embeddings, layers, their lenses, logits, the end


def test_the_model_that_ships_at_200_tokens(assets: Path, settings, database):
    """All attention of SmolLM2 for 200 tokens as base64 fits the default budget."""
    runtime = Runtime.open(settings.model_copy(update={"assets_dir": assets}))
    client = TestClient(app_of(runtime))
    found = array(asked(client, ids=list(range(1000, 1200)), want=["attention"], encoding="base64")["attention"])
    assert found.shape == (30, 9, 200, 200)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    answer = asked(client, text="The capital of France is", want=["next", "loss"], temperature=0)
    best, other = answer["next"][-1]["top"][:2]
    assert (best["text"], best["sampled_logprob"], other["sampled_logprob"]) == (" Paris", 0.0, None)
    assert answer["loss"]["tokens"][-1]["rank"] == 1
    runtime.close()
