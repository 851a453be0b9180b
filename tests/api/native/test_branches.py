"""/branches over the wire: trees kept, read line by line, listed, deleted; what is refused, with nothing kept of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from app.api.native import branches as routes
from app.config import Settings
from app.db.session import Database
from app.main import Inkling
from app.schemas import branch as schema
from app.services import branches as services
from tests.fakes import ScriptedModel, scripted_runtime
from tests.serving import app_of

Make = Callable[..., TestClient]


def token(text: str, id_: int | None = None, **more: object) -> dict[str, Any]:
    number = ord(text[0]) if id_ is None else id_
    told = {"id": number, "text": text, "bytes": list(text.encode()), "logprob": -0.5, "sampled_logprob": None}
    return told | {"top": [told | {"logprob": -1}]} | more


def body(**fields: object) -> dict[str, Any]:
    start = {} if "parent" in fields or "messages" in fields else {"prompt": "Once"}
    told = {"model": "m", "sampling": {"seed": 7}, "tokens": [token("a"), token("b")], "finish_reason": "length"}
    return start | told | fields


@pytest.fixture
def make(settings: Settings, any_database: Database) -> Iterator[Make]:
    """A client of the service, on either database."""
    made = []

    def make(**fields: object) -> TestClient:
        runtime = scripted_runtime(settings.model_copy(update=fields), any_database, ScriptedModel("lo"))
        app = app_of(runtime)
        assert isinstance(app, Inkling)
        app.include_router(routes.router)
        made.append(runtime)
        return TestClient(app, raise_server_exceptions=False)

    yield make
    for runtime in made:
        runtime.models.close()


def keep(client: TestClient, **fields: object) -> dict[str, Any]:
    answer = client.post("/branches", json=body(**fields))
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/branches/{answer.json()['id']}"
    told: dict[str, Any] = answer.json()
    return told


def refused(answer: httpx.Response) -> tuple[int, str, str | None]:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return answer.status_code, error["code"], error["param"]


def text_of(line: dict[str, Any]) -> str:
    return "".join(each["text"] for each in line["tokens"])


def test_a_tree_is_kept_and_read_line_by_line(make: Make) -> None:
    client = make()
    first = keep(client, sampling={"temperature": 0.5, "seed": 9, "stop": ["\n"]})
    child = keep(client, parent=first["id"], at=1, tokens=[token("X", chosen=True), token("y"), token("z")])
    last = keep(client, parent=child["id"], at=3, tokens=[token("é👍")], model="other")
    assert (first["tree"], child["tree"], last["tree"]) == (first["id"],) * 3

    line = client.get(f"/branches/{last['id']}").json()
    assert (text_of(line), line["at"], line["parent"], line["model"]) == ("aXyé👍", 3, child["id"], "other")
    assert (line["prompt"], line["messages"]) == ("Once", None)
    assert [each["chosen"] for each in line["tokens"]] == [False, True, False, False]
    assert line["tokens"][0] == token("a") | {"chosen": False}
    own = client.get(f"/branches/{first['id']}").json()
    assert text_of(own) == "ab"
    assert (own["sampling"]["temperature"], own["sampling"]["seed"], own["sampling"]["stop"]) == (0.5, 9, ["\n"])

    rows = client.get("/branches", params={"tree": child["id"]}).json()
    assert [(each["id"], each["parent"], each["at"], each["length"]) for each in rows["data"]] == [
        (first["id"], None, 0, 2),
        (child["id"], first["id"], 1, 4),
        (last["id"], child["id"], 3, 4),
    ]
    assert [(each["opening"], each["excerpt"]) for each in rows["data"]] == [("Once", "ab"), ("", "Xyz"), ("", "é👍")]


def test_trees_are_listed_in_pages_newest_first(make: Make) -> None:
    client = make()
    trees = [keep(client, prompt=f"p{i}") for i in range(3)]
    keep(client, parent=trees[0]["id"], at=0)
    page = client.get("/branches", params={"limit": 2}).json()
    assert ([each["opening"] for each in page["data"]], page["has_more"]) == (["p2", "p1"], True)
    rest = client.get("/branches", params={"limit": 2, "after": page["data"][-1]["id"]}).json()
    assert ([each["opening"] for each in rest["data"]], rest["has_more"]) == (["p0"], False)
    assert [each["branches"] for each in page["data"] + rest["data"]] == [1, 1, 2]


def test_what_left_a_branch_is_deleted_with_it(make: Make) -> None:
    client = make()
    first = keep(client)
    child = keep(client, parent=first["id"], at=2)
    keep(client, parent=child["id"], at=2)
    other = keep(client)
    assert client.delete(f"/branches/{child['id']}").json() == {"id": child["id"], "deleted": True, "branches": 2}
    assert refused(client.get(f"/branches/{child['id']}")) == (404, "branch_not_found", None)
    assert refused(client.delete(f"/branches/{child['id']}")) == (404, "branch_not_found", None)
    assert client.delete(f"/branches/{first['id']}").json()["branches"] == 1
    assert [each["id"] for each in client.get("/branches").json()["data"]] == [other["id"]]


def test_texts_come_back_as_they_were(make: Make) -> None:
    """Markup, NUL, text from right to left, combining characters; and a remote's token, of which little is known."""
    client = make()
    odd = "<script>alert(1)</script>\0 \u202eשלום e\u0301"
    unknown = {"id": None, "text": odd, "bytes": None, "logprob": None, "sampled_logprob": None, "top": []}
    messages = [{"role": "system", "content": ""}, {"role": "user", "content": odd}]
    kept = keep(client, messages=messages, tokens=[unknown], model="<b>m</b>", finish_reason="broken")
    assert kept["opening"] == kept["excerpt"] == odd.replace("\0", "\ufffd")
    line = client.get(f"/branches/{kept['id']}").json()
    assert (line["messages"], line["prompt"]) == (messages, None)
    assert line["tokens"] == [unknown | {"chosen": False}]
    assert (line["model"], line["finish_reason"]) == ("<b>m</b>", "broken")


REFUSED: dict[str, tuple[dict[str, Any], int, str, str | None]] = {
    "nothing to begin with": ({"prompt": None}, 422, "invalid_value", "prompt"),
    "two beginnings": (
        {"messages": [{"role": "user", "content": ""}], "prompt": "a"}, 422, "invalid_value", "messages",
    ),
    "an empty prompt": ({"prompt": ""}, 422, "invalid_value", "prompt"),
    "a parent without a place": ({"parent": "branch_0"}, 422, "invalid_value", "at"),
    "a place without a parent": ({"at": 1}, 422, "invalid_value", "at"),
    "a parent that is not there": ({"parent": "branch_0", "at": 0}, 404, "branch_not_found", "parent"),
    "a parent that is no name": ({"parent": "../x\0", "at": 0}, 404, "branch_not_found", "parent"),
    "no model": ({"model": ""}, 422, "invalid_value", "model"),
    "NUL in a model": ({"model": "a\0"}, 422, "invalid_value", "model"),
    "a long model": ({"model": "m" * 501}, 422, "invalid_value", "model"),
    "no seed": ({"sampling": {"seed": -1}}, 422, "invalid_value", "sampling.seed"),
    "an unknown setting": ({"sampling": {"n": 2}}, 422, "unknown_field", "sampling.n"),
    "an unknown end": ({"finish_reason": "bored"}, 422, "invalid_value", "finish_reason"),
    "an unknown field": ({"html": "<b>"}, 422, "unknown_field", "html"),
    "no byte": ({"tokens": [token("a", bytes=[256])]}, 422, "invalid_value", "tokens.0.bytes.0"),
    "half an id": ({"tokens": [token("a") | {"id": 1.5}]}, 422, "invalid_value", "tokens.0.id"),
    "a token without its text": ({"tokens": [{"id": 1}]}, 422, "missing_field", "tokens.0.text"),
    "21 alternatives": (
        {"tokens": [token("a", top=[token("b") for _ in range(21)])]}, 422, "invalid_value", "tokens.0.top",
    ),
    "a surrogate": ({"tokens": [token("a") | {"text": "\ud800"}]}, 422, "invalid_value", "tokens.0.text"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "code", "param"), REFUSED.values(), ids=REFUSED)
def test_refused_in_the_one_shape_with_nothing_kept(
    make: Make, fields: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    client = make()
    content = json.dumps(body(**fields))
    answer = client.post("/branches", content=content, headers={"content-type": "application/json"})
    assert refused(answer) == (status, code, param), answer.text
    assert client.get("/branches").json()["data"] == []


def test_a_place_behind_the_end_of_the_line_is_refused(make: Make) -> None:
    client = make()
    first = keep(client)
    child = keep(client, parent=first["id"], at=2, tokens=[])
    answer = client.post("/branches", json=body(parent=child["id"], at=3))
    assert refused(answer) == (422, "invalid_value", "at")
    assert "has 2 tokens" in answer.json()["error"]["message"]


def test_a_branch_that_is_too_large_is_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_BRANCH_BYTES", 600)
    client = make()
    assert refused(client.post("/branches", json=body(tokens=[token("a")] * 9))) == (413, "too_large", "tokens")
    keep(client, tokens=[token("a")])
    assert schema.MAX_BRANCH_BYTES == 4 * 1024 * 1024


@pytest.mark.parametrize("limits", [{"max_branches": 2}, {"max_branches_bytes": 1300}], ids=["number", "bytes"])
def test_no_more_are_kept_than_may_be(make: Make, limits: dict[str, int]) -> None:
    client = make(**limits)
    first = keep(client)
    keep(client, parent=first["id"], at=2)
    for fields in ({}, {"parent": first["id"], "at": 0}):
        assert refused(client.post("/branches", json=body(**fields))) == (409, "branches_full", None)
    client.delete(f"/branches/{first['id']}")
    keep(client)


def test_a_tree_has_an_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_TREE_BRANCHES", 2)
    client = make()
    first = keep(client)
    keep(client, parent=first["id"], at=2)
    answer = client.post("/branches", json=body(parent=first["id"], at=1))
    assert refused(answer) == (409, "branches_full", "parent")
    keep(client)


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ({"tree": "branch_0"}, 404, "tree"),
        ({"after": "x"}, 404, "after"),
        ({"limit": 0}, 422, "limit"),
        ({"limit": 501}, 422, "limit"),
        ({"order": "asc"}, 422, "order"),
    ],
)
def test_lists_refuse_what_they_cannot_show(make: Make, query: dict[str, Any], status: int, param: str) -> None:
    answer = make().get("/branches", params=query)
    assert (refused(answer)[0], refused(answer)[2]) == (status, param)


def test_a_branch_is_written_again_by_what_is_kept_of_it(make: Make) -> None:
    """What the documentation promises: the prompt, the settings, and the ids up to what was chosen."""
    client = make()
    asked = {"prompt": "Once", "temperature": 0}
    drawn = client.post("/generate", json=asked | {"top_logprobs": 2}).json()["choices"][0]
    first = keep(client, sampling={"temperature": 0, "seed": 1}, tokens=drawn["tokens"], finish_reason="stop")
    begin = [drawn["tokens"][0]["id"], ord("u")]
    after = client.post("/generate", json=asked | {"begin": begin}).json()["choices"][0]
    own = [token("u", chosen=True), *after["tokens"]]
    kept = keep(client, parent=first["id"], at=1, sampling={"temperature": 0, "seed": 1}, tokens=own)
    line = client.get(f"/branches/{kept['id']}").json()
    ids = [each["id"] for each in line["tokens"][: line["at"] + 1]]
    again = client.post("/generate", json={"prompt": line["prompt"], "begin": ids} | line["sampling"]).json()
    assert again["choices"][0]["tokens"] == after["tokens"]
