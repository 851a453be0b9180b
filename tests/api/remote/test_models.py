"""/v1/models of a remote server; those of this machine stay where they are."""

from __future__ import annotations

from starlette.responses import JSONResponse

from tests.fakes import ScriptedModel
from tests.plain_openai import models_named


def test_the_remotes_models_are_listed_the_default_one_first(front, plain, plain_url):
    plain.says("/v1/models", models_named("org/a", "default-of-ours"))
    client = front(plain_url)
    listed = client.get("/v1/models").json()
    assert listed == {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": 1, "owned_by": "plain"} for name in ("default-of-ours", "org/a")
        ],
    }
    assert client.get("/v1/models/org/a").json()["id"] == "org/a"
    missing = client.get("/v1/models/none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    assert [model["name"] for model in client.get("/models").json()["data"]] == ["smollm2-135m-instruct"]


def test_none_of_them_is_deleted_from_here(front, plain, plain_url):
    answer = front(plain_url).delete("/v1/models/plain-1")
    assert (answer.status_code, answer.json()["error"]["param"]) == (409, "name")
    assert plain.asked == []


def test_a_list_that_is_none(front, plain, plain_url):
    plain.says("/v1/models", JSONResponse({"models": []}))
    answer = front(plain_url).get("/v1/models")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "remote_failed")


def test_a_second_inkling_lists_its_own(front, back):
    _, url = back(ScriptedModel())
    assert [card["id"] for card in front(url).get("/v1/models").json()["data"]] == ["smollm2-135m-instruct"]
