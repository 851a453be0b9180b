"""Alive, and able to work: two questions."""

import sqlite3
import threading

from fastapi.testclient import TestClient

from app.errors import DataMissing
from tests.fakes import ScriptedModel, eventually, scripted_runtime
from tests.plain_openai import PlainOpenAI
from tests.serving import app_of, served


def test_alive_while_the_model_is_being_loaded(settings, database):
    may_read = threading.Event()

    def slow(place, tell) -> ScriptedModel:
        may_read.wait(10)
        return ScriptedModel()

    runtime = scripted_runtime(settings, database, slow)
    client = TestClient(app_of(runtime))
    runtime.models.preload(settings.default_model)
    assert client.get("/healthz").json() == {"status": "ok"}
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    body = answer.json()
    assert (body["ready"], body["parts"]["database"]) == (False, {"ready": True, "detail": None})
    assert "being loaded" in body["parts"]["model"]["detail"]
    assert (body["error"]["code"], set(body["error"])) == ("not_ready", {"message", "type", "param", "code"})
    may_read.set()
    eventually(lambda: client.get("/readyz").status_code == 200)
    assert client.get("/readyz").json() == {
        "ready": True,
        "parts": {part: {"ready": True, "detail": None} for part in ("database", "broker", "model")},
    }
    runtime.models.close()


def test_a_default_model_that_cannot_be_read(settings, database):
    def broken(*_) -> ScriptedModel:
        raise DataMissing("its file is damaged")

    runtime = scripted_runtime(settings, database, broken)
    runtime.models.preload(settings.default_model)
    client = TestClient(app_of(runtime))
    eventually(lambda: "damaged" in str(client.get("/readyz").json()["parts"]["model"]["detail"]))
    assert client.get("/readyz").status_code == 503


def test_a_database_that_is_away(settings, database):
    from app.db.session import Database

    away = Database("sqlite:////nowhere/at/all.db")
    runtime = scripted_runtime(settings, away, ScriptedModel())
    client = TestClient(app_of(runtime))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["database"]["ready"]) == (503, False)
    assert "nowhere" not in answer.text
    assert client.get("/healthz").status_code == 200


def test_a_broker_that_is_away(settings, database):
    settings = settings.model_copy(update={"broker_url": "redis://127.0.0.1:1/0"})
    client = TestClient(app_of(scripted_runtime(settings, database, ScriptedModel())))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["parts"]["broker"]["ready"]) == (503, False)
    assert answer.json()["parts"]["database"]["ready"]


def test_a_database_that_somebody_holds(settings, database):
    """A constant needs neither file nor lock: it used to be asked for, and the database called ready."""
    runtime = scripted_runtime(settings, database, ScriptedModel())
    holder = sqlite3.connect(settings.data_dir / "inkling.db", isolation_level=None)
    holder.execute("DROP TABLE alembic_version")
    holder.close()
    assert not TestClient(app_of(runtime)).get("/readyz").json()["parts"]["database"]["ready"]


def test_a_remote_server_stands_in_the_models_place(settings, database):
    plain = PlainOpenAI()
    with served(plain.app) as port:
        fields = {"generation_backend": f"http://127.0.0.1:{port}"}
        runtime = scripted_runtime(settings.model_copy(update=fields), database, ScriptedModel())
        with TestClient(app_of(runtime)) as client:
            ready = {"ready": True, "detail": None}
            assert client.get("/readyz").json()["parts"] == {"database": ready, "broker": ready, "remote": ready}
            plain.answers.clear()
            answer = client.get("/readyz")
            assert (answer.status_code, answer.json()["parts"]["remote"]["detail"]) == (503, "Not Found")
            assert client.get("/healthz").status_code == 200
