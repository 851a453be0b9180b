"""Adapters over the whole application: imported beside a base, served together, exported, refused, deleted."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from app.config import Settings
from app.llm.config import LoRAConfig
from app.llm.model.adapter import Adapter, worn
from app.llm.model.transformer import Transformer
from app.llm.weights.adapter import CONFIG, TENSORS, read_adapter, write_adapter
from app.main import create_app
from tests.llm.weights.test_adapter import an_adapter
from tests.llm.weights.test_huggingface import load
from tests.no_assets import no_assets
from tests.weight_files import CONFIGS, a_folder, a_network

NETWORK = a_network(CONFIGS["llama"])
IDS = torch.arange(20)[None]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service without any assets whose models are a base, and two adapters beside it."""
    place = tmp_path_factory.mktemp("service")
    chosen = Settings(_env_file=None, data_dir=place / "data", assets_dir=no_assets(place / "no-assets"))
    with TestClient(create_app(chosen), raise_server_exceptions=False) as made:
        imports = chosen.data_dir / "import"
        a_folder(imports / "base", NETWORK)
        assert create(made, "base", "base").status_code == 201
        for number, name in enumerate(("one", "two")):
            peft_folder(imports / name, adapter(number))
            answer = create(made, name, f"base:{name}")
            assert answer.status_code == 201, answer.text
        yield made


@pytest.fixture
def imports(service: TestClient) -> Path:
    return service.app.state.runtime.settings.data_dir / "import"


def adapter(number: int) -> Adapter:
    return an_adapter(NETWORK, LoRAConfig(3 + number, 6.0, targets=None if number else ("query", "down")), number)


def peft_folder(folder: Path, made: Adapter, sha256: str | None = None, **changed: Any) -> Path:
    """As peft would have written it: without the hash of a base, unless it is given."""
    folder.mkdir(parents=True)
    write_adapter(folder, replace(made, config=replace(made.config, base_sha256=sha256 or "")), "base")
    if sha256 is None:
        path = folder / TENSORS
        from safetensors.torch import load_file, save_file

        save_file({name: tensor.clone() for name, tensor in load_file(path).items()}, path, {"format": "pt"})
    config = json.loads((folder / CONFIG).read_text()) | changed
    (folder / CONFIG).write_text(json.dumps(config))
    return folder


def create(client: TestClient, folder: str, name: str, **fields: Any):
    return client.post("/models", json={"name": name, "source": {"folder": folder}} | fields)


def refusal(answer) -> tuple[int, str, str | None, str]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["code"], error["param"], error["message"]


def ask(client: TestClient, model: str, prompt: str = "hello sea hello sea hello sea") -> dict[str, Any]:
    body = {"model": model, "prompt": prompt, "max_new_tokens": 12, "temperature": 0, "top_logprobs": 2}
    answer = client.post("/generate", json=body)
    assert answer.status_code == 200, answer.text
    return {key: value for key, value in answer.json().items() if key in ("choices", "usage", "model")}


def test_an_adapter_is_a_model_of_its_own_and_its_bytes(service: TestClient) -> None:
    told = service.get("/models/base:one").json()
    count = adapter(0).parameter_count()
    assert (told["family"], told["base_model"], told["source"], told["tokenizer"]) == (
        "adapter", "base", "import", "base"
    )  # fmt: skip
    assert (told["parameters"], told["memory_bytes"], told["chat"]) == (count, 4 * count, True)
    assert told["config"]["lora"] == {"rank": 3, "alpha": 6.0, "dropout": 0.0, "targets": ["query", "down"]}
    assert told["config"]["base_sha256"] == service.get("/models/base").json()["sha256"]
    assert told["config"]["body"] == NETWORK.config.to_dict()
    assert [link["name"] for link in told["ancestors"]] == ["base"]
    assert {file["name"] for file in told["origin"]["files"]} == {CONFIG, TENSORS}
    names = {"base", "base:one", "base:two"}
    assert names <= {model["name"] for model in service.get("/models").json()["data"]}
    assert names <= {card["id"] for card in service.get("/v1/models").json()["data"]}
    assert service.get("/v1/models/base:one").json()["id"] == "base:one"


def test_adapters_and_their_base_answer_at_once_as_each_alone(service: TestClient) -> None:
    names = ["base", "base:one", "base:two"]
    alone = {name: ask(service, name) for name in names}
    assert len({json.dumps(answer["choices"]) for answer in alone.values()}) == 3
    with ThreadPoolExecutor(9) as threads:
        asked = names * 3
        for name, answer in zip(asked, threads.map(lambda name: ask(service, name), asked), strict=True):
            assert answer == alone[name]
    body = {"model": "base:two", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 3}
    assert service.post("/v1/chat/completions", json=body).json()["model"] == "base:two"


def test_loading_costs_its_own_bytes_and_the_base_takes_it_along(service: TestClient) -> None:
    runtime = service.app.state.runtime
    assert service.post("/models/base/unload").json()["state"] == "unloaded"
    told = service.post("/models/base:one/load").json()
    assert (told["state"], told["held_bytes"]) == ("loaded", told["memory_bytes"])
    assert service.get("/models/base").json()["state"] == "loaded"
    one, base = runtime.models.get("base:one"), runtime.models.get("base")
    assert one.loop is base.loop
    assert set(runtime.models.loops()) == {"base"}
    assert service.post("/models/base:one/unload").json()["state"] == "unloaded"
    assert service.get("/models/base").json()["state"] == "loaded"
    ask(service, "base:two")
    assert service.post("/models/base/unload").status_code == 200
    assert {service.get(f"/models/{name}").json()["state"] for name in ("base", "base:two")} == {"unloaded"}
    assert ask(service, "base:two")["usage"]["completion_tokens"] >= 1


@pytest.mark.parametrize("number", [0, 1])
@torch.inference_mode()
def test_what_is_inspected_and_exported_merged_gives_the_adapters_logits(
    service: TestClient, tmp_path: Path, number: int
) -> None:
    name, expected = f"base:{('one', 'two')[number]}", worn(NETWORK, adapter(number))(IDS)
    with service.app.state.runtime.models.get(name).network.lent() as network:
        torch.testing.assert_close(network(IDS), expected, atol=1e-5, rtol=1e-5)
    merged = load(unpacked(service, name, tmp_path / "merged"))
    assert isinstance(merged, Transformer)
    torch.testing.assert_close(merged(IDS), expected, atol=1e-5, rtol=1e-5)
    answer = service.get(f"/models/{name}/export", params={"format": "gguf"})
    assert answer.content[:4] == b"GGUF"
    folder = unpacked(service, name, tmp_path / "peft", format="peft")
    sha256 = service.get("/models/base").json()["sha256"]
    config = json.loads((folder / CONFIG).read_text())
    assert config["base_model_name_or_path"] == "base"
    back = read_adapter(config, folder / TENSORS, NETWORK.config, sha256)
    assert all(torch.equal(back.tensors[key], tensor) for key, tensor in adapter(number).tensors.items())
    assert service.get(f"/models/{name}/download").status_code == 200


def unpacked(client: TestClient, name: str, place: Path, **query: str) -> Path:
    answer = client.get(f"/models/{name}/export", params=query)
    assert answer.status_code == 200, answer.text
    assert 'filename="base-' in answer.headers["content-disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        tar.extractall(place, filter="data")
    return next(place.iterdir())


def test_a_base_stays_while_it_has_adapters(service: TestClient) -> None:
    status, code, param, message = refusal(service.delete("/models/base"))
    assert (status, code, param) == (409, "conflict", "name")
    assert "base:one, base:two stand beside base" in message


def test_an_adapter_is_deleted_alone(service: TestClient, imports: Path) -> None:
    peft_folder(imports / "three", adapter(1))
    assert create(service, "three", "base:three").status_code == 201
    ask(service, "base:three")
    assert service.delete("/models/base:three").json() == {"name": "base:three", "deleted": True}
    assert refusal(service.get("/models/base:three"))[:2] == (404, "model_not_found")
    assert service.post("/generate", json={"model": "base:three", "prompt": "hello"}).status_code == 404
    assert not (imports.parent / "models" / "base:three").exists()


def test_what_cannot_be_imported_is_refused_by_name_and_leaves_nothing(service: TestClient, imports: Path) -> None:
    wider = a_network(replace(CONFIGS["llama"], hidden_dim=96))
    peft_folder(imports / "fits", adapter(0))
    peft_folder(imports / "wider", an_adapter(wider))
    peft_folder(imports / "gpt2", an_adapter(a_network(CONFIGS["gpt2"])))
    peft_folder(imports / "others", adapter(0), "1" * 64)
    peft_folder(imports / "dora", adapter(0), use_dora=True)
    peft_folder(imports / "prose", adapter(0))
    (imports / "prose" / CONFIG).write_text("an adapter")
    before = sorted(path.name for path in (imports.parent / "models").iterdir())
    for folder, name, fields, wanted, told in (
        ("fits", "mine", {}, (422, "name"), "these files are an adapter"),
        ("fits", "base:one", {}, (409, "name"), "there is a model 'base:one' already"),
        ("fits", "none:mine", {}, (404, "name"), "no model 'none' for the adapter"),
        ("fits", "base:", {}, (422, "name"), "is no name"),
        ("fits", "base:a:b", {}, (422, "name"), "is no name"),
        ("fits", "base:mine", {"tokenizer": "base"}, (422, "tokenizer"), "leave this out"),
        ("base", "base:mine", {}, (422, "source.folder"), f"there is no {CONFIG}"),
        ("wider", "base:mine", {}, (422, "source.folder"), "made for another network: tensor"),
        ("gpt2", "base:mine", {}, (422, "source.folder"), "layers that this base has not"),
        ("others", "base:mine", {}, (422, "source.folder"), "made for other weights"),
        ("dora", "base:mine", {}, (422, "use_dora"), "use_dora"),
        ("prose", "base:mine", {}, (422, "source.folder"), "is no JSON"),
    ):
        status, _, param, message = refusal(create(service, folder, name, **fields))
        assert ((status, param), told in message) == (wanted, True), (folder, name, message)
    assert sorted(path.name for path in (imports.parent / "models").iterdir()) == before
    assert not list((imports.parent / "scratch").iterdir())


def test_what_adapters_are_not_is_told(service: TestClient) -> None:
    assert refusal(service.get("/models/base/export", params={"format": "peft"}))[:3] == (
        422, "invalid_value", "format"
    )  # fmt: skip
    answer = service.get("/models/base:one/export", params={"format": "peft", "type": "f16"})
    assert refusal(answer)[2] == "type"


@pytest.mark.parametrize(
    ("fields", "status", "param", "told"),
    [
        ({"model": {"preset": "gpt-tiny"}, "tokenizer": "base"}, 422, "model", "stands beside a model that is there"),
        ({"model": "base:one"}, 422, "model", "is an adapter"),
        ({"train": {"lora": {"rank": 0}}}, 422, "train.lora.rank", "must be a whole number"),
        ({"train": {"lora": {"alpha": -1}}}, 422, "train.lora.alpha", "must be above 0"),
        ({"train": {"lora": {"dropout": 1}}}, 422, "train.lora.dropout", "below 1"),
        ({"train": {"lora": {"targets": []}}}, 422, "train.lora.targets", "must name a layer"),
        ({"train": {"lora": {"targets": ["c_attn"]}}}, 422, "train.lora.targets", "no layers called 'c_attn'"),
        ({"train": {"lora": {"targets": ["head"]}}}, 422, "train.lora.targets", "no linear layers called head"),
        ({"train": {"lora": {"ranks": 2}}}, 422, "train.lora.ranks", ""),
        ({"train": {"lora": {}, "trainable": "last_block"}}, 422, "train.trainable", "leave this out"),
        ({"name": "other:mine"}, 422, "name", "is called base:"),
        ({"name": "base:one"}, 409, "name", "already"),
        ({"recipe": "word2vec", "model": {}}, 422, "train.lora", "learnt whole"),
    ],
)
def test_jobs_that_cannot_learn_an_adapter_are_refused(
    service: TestClient, fields: dict[str, Any], status: int, param: str, told: str
) -> None:
    short = {"context_length": 8, "batch_size": 1, "max_steps": 1}
    body = {"recipe": "pretrain", "dataset": "the-tide-clock", "model": "base", "train": {}} | fields
    body["train"] = ({} if body["recipe"] == "word2vec" else short) | {"lora": {"rank": 2}} | body["train"]
    answer = service.post("/jobs", json=body)
    found = refusal(answer)
    assert (found[0], found[2]) == (status, param), found
    assert told in found[3]
    assert service.get("/jobs").json()["data"] == []


def test_a_job_for_an_adapter_is_named_after_its_base(service: TestClient) -> None:
    train = {"context_length": 8, "batch_size": 1, "max_steps": 1, "lora": {"rank": 2, "targets": ["query"]}}
    body = {"recipe": "pretrain", "dataset": "the-tide-clock", "model": "base", "train": train}
    made = service.post("/jobs", json=body | {"name": "tides"})
    assert made.status_code == 202, made.text
    job = made.json()
    assert job["name"] == "base:tides"
    assert job["train"]["lora"] == {"rank": 2, "alpha": 16.0, "dropout": 0.0, "targets": ["query"]}
    again = service.post(f"/jobs/{job['id']}/duplicate", json={})
    assert again.status_code == 202, again.text
    assert again.json()["name"].startswith("base:lora-")
    assert again.json()["train"]["lora"] == job["train"]["lora"]
    for each in (job, again.json()):
        service.post(f"/jobs/{each['id']}/cancel", json={})
        service.delete(f"/jobs/{each['id']}")
