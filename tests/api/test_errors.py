from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from pydantic import Field, ValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.types import ASGIApp

from app.api import errors
from app.errors import NotReady
from app.schemas.base import In, StoredText, Text

SHAPE = {"message", "type", "param", "code"}


class Limited(FastAPI):
    def build_middleware_stack(self) -> ASGIApp:
        return errors.OneShape(super().build_middleware_stack())


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = Limited(max_body_size=1000)
    errors.install(app)

    @app.post("/length")
    async def length(request: Request) -> int:
        return len(await request.body())

    @app.get("/text")
    def text() -> PlainTextResponse:
        return PlainTextResponse("just text")

    @app.get("/later")
    def later() -> None:
        raise NotReady("not yet", param="model", retry_after_s=3)

    @app.get("/number")
    def number(n: int) -> int:
        return 1 // n

    with TestClient(app, raise_server_exceptions=False) as made:
        yield made


def refusal(response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert set(error) == SHAPE
    return response.status_code, error["code"], error["param"]


def in_chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // 100):
        yield b"a" * 100


@pytest.mark.parametrize("body", [b"a" * 1001, b"a" * 5_000_000, in_chunks(2000)])
def test_a_body_beyond_the_limit_is_refused_in_the_one_shape(client, body):
    """The limit's own answer is plain text, and comes from outside of all exception handlers."""
    assert refusal(client.post("/length", content=body)) == (413, "too_large", None)


def test_a_body_at_the_limit_passes(client):
    assert client.post("/length", content=b"a" * 1000).json() == 1000
    assert client.get("/text").text == "just text"


def test_a_refusal_carries_its_field_and_when_to_try_again(client):
    response = client.get("/later")
    assert refusal(response) == (503, "not_ready", "model")
    assert response.headers["retry-after"] == "3"


def test_what_is_not_there_what_is_no_number_and_what_breaks(client):
    assert refusal(client.get("/nowhere")) == (404, "not_found", None)
    assert refusal(client.post("/text")) == (405, "method_not_allowed", None)
    assert refusal(client.get("/number?n=x")) == (422, "invalid_value", "n")
    assert refusal(client.get("/number?n=0")) == (500, "internal_error", None)


@pytest.mark.parametrize("raised", [OperationalError("SELECT", {}, Exception("locked")), PoolTimeout("all taken")])
def test_a_database_that_is_away_is_a_503(client, raised):
    def away() -> None:
        raise raised

    client.app.add_api_route("/rows", away)
    answer = client.get("/rows")
    assert refusal(answer) == (503, "not_ready", None)
    assert int(answer.headers["retry-after"]) > 0
    assert "SELECT" not in answer.text


@pytest.mark.parametrize(
    "body",
    [b"[" * 900 * 1000, b'{"name": ' + b"9" * 5000 + b"}", b'{"name": "\xff"}', b"{", b'{"name": '],
    ids=range(5),
)
def test_a_body_that_is_no_json(body):
    app = FastAPI()
    errors.install(app)

    class Named(In):
        name: str

    @app.post("/body")
    def take(body: Named) -> None: ...

    answer = TestClient(app).post("/body", content=body, headers={"content-type": "application/json"})
    assert refusal(answer) == (400, "invalid_json", None)
    assert refusal(TestClient(app).post("/body", content=b"name", headers={"content-type": "text/plain"})) == (
        415,
        "unsupported_format",
        None,
    )


def test_of_a_million_unknown_fields_one_is_told():
    """pydantic makes an error of each; they used to keep the event loop busy for half a minute."""

    class Named(In):
        name: str
        other: int = 0

    fields = {"name": "a", **{str(number): 0 for number in range(200_000)}}
    with pytest.raises(ValidationError) as caught:
        Named.model_validate(fields)
    assert [error["loc"] for error in caught.value.errors()] == [("0",)]
    assert Named.model_validate({"name": "a", "other": 2}).other == 2


def test_an_empty_text_is_told_in_plain_words():
    app = FastAPI()
    errors.install(app)

    class Prompted(In):
        prompt: Text = Field(min_length=1)

    @app.post("/body")
    def take(body: Prompted) -> None: ...

    answer = TestClient(app).post("/body", json={"prompt": ""})
    assert refusal(answer) == (422, "invalid_value", "prompt")
    assert answer.json()["error"]["message"] == "prompt: must not be empty"


def test_a_text_that_is_too_long_is_counted_in_characters():
    """Behind a validator pydantic speaks of items."""
    app = FastAPI()
    errors.install(app)

    class Named(In):
        name: StoredText | None = Field(None, max_length=3)

    @app.post("/body")
    def take(body: Named) -> None: ...

    answer = TestClient(app).post("/body", json={"name": "abcd"})
    assert refusal(answer) == (422, "invalid_value", "name")
    assert answer.json()["error"]["message"] == "name: at most 3 characters, not 4"
