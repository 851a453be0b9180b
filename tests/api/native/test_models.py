"""GET /models over the wire."""

from fastapi.testclient import TestClient

from app.db.tables.model import ModelRow
from tests.fakes import ScriptedModel, scripted_runtime
from tests.serving import app_of


def client_of(settings, database) -> TestClient:
    return TestClient(app_of(scripted_runtime(settings, database, ScriptedModel())))


def a_row(name: str, created_at: float) -> ModelRow:
    config = ScriptedModel().config.to_dict()
    fields = dict(family="gpt2", config=config, tokenizer="gpt2", parameters=7, size_bytes=9, sha256="0" * 64)
    return ModelRow(name=name, base_model=None, job_id=None, created_at=created_at, **fields)


def test_the_default_model_comes_first(settings, database):
    with database.write() as session:
        session.add_all([a_row("old", 1.5), a_row("new", 2.5)])
    client = client_of(settings, database)
    answer = client.get("/models").json()
    assert (answer["object"], answer["has_more"]) == ("list", False)
    assert [model["name"] for model in answer["data"]] == ["smollm2-135m-instruct", "new", "old"]
    page = client.get("/models", params={"after": "new", "limit": 1}).json()
    assert [model["name"] for model in page["data"]] == ["old"]


def test_one_model(settings, database):
    client = client_of(settings, database)
    shipped = client.get("/models/smollm2-135m-instruct").json()
    assert (shipped["object"], shipped["family"], shipped["parameters"]) == ("model", "llama", 134_515_008)
    assert (shipped["chat"], shipped["available"], shipped["state"]) == (True, True, "unloaded")
    assert (shipped["config"]["context_length"], shipped["config"]["n_kv_heads"]) == (8192, 3)
    assert client.post("/generate", json={"prompt": "a"}).status_code == 200
    assert client.get("/models/smollm2-135m-instruct").json()["state"] == "loaded"
    client.app.state.runtime.models.close()


def test_a_model_whose_folder_is_gone(settings, database):
    with database.write() as session:
        session.add(a_row("mine", 1.0))
    client = client_of(settings, database)
    told = client.get("/models/mine").json()
    assert (told["available"], told["chat"], told["created_at"]) == (False, False, 1)
    assert told["hint"]
    answer = client.post("/generate", json={"prompt": "a", "model": "mine"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (424, "data_missing")


def test_what_is_not_there_and_what_is_not_known(settings, database):
    client = client_of(settings, database)
    for path in ("/models/nothing", "/models/..%2f..%2fetc", "/models?after=nothing"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    for query in ("limit=0", "limit=x", "page=2"):
        assert client.get(f"/models?{query}").status_code == 422


def test_a_name_that_is_none_is_not_the_default(settings, any_database):
    client = client_of(settings, any_database)
    for path in ("/models/%00", "/models/..%2Fx"):
        assert client.get(path).status_code == 404
    for name in ("", "\0"):
        answer = client.post("/generate", json={"model": name, "prompt": "a"})
        assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")
