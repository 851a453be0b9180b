"""What a lesson's fields offer: the book's dataset before all others, models that are fit, and what to do without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.api.pages.lessons.field import Field
from app.api.pages.lessons.offers import Offers
from app.config import Settings
from app.main import create_app
from app.services import public_sets
from app.services.runtime import Runtime
from tests.fake_sets import MADE_UP, made_up_sets

STORY = Field("dataset", "Text", "", "dataset", of="text", prefers="the-verdict")
MESSAGES = Field("dataset", "Rows", "", "dataset", of="labelled", prefers="sms-spam")
WRITER, JUDGE = Field("model", "Model", "", "model"), Field("model", "Model", "", "model", of="classifier")


@pytest.fixture
def client(settings: Settings, tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(settings.model_copy(update={"assets_dir": tmp_path / "none"}))) as made:
        yield made


def offers(client: TestClient) -> Offers:
    runtime: Runtime = client.app.state.runtime  # type: ignore[attr-defined]
    with runtime.database.read() as session:
        return Offers.of_machine(runtime, session)


def upload(client: TestClient, name: str, content: bytes) -> str:
    answer = client.post("/datasets", files={"file": (name, content)})
    return str(answer.json()["id"])


def test_without_the_books_dataset_another_is_offered_and_the_book_s_is_named(client: TestClient) -> None:
    found = offers(client)
    assert [option.value for option in found.options(STORY)] == ["the-tide-clock"]
    assert [option.value for option in found.options(MESSAGES)] == ["ferry-messages"]
    assert (found.missing(STORY), found.missing(MESSAGES)) == ("the-verdict", "sms-spam")


def test_the_books_dataset_comes_first(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_sets, "SETS", made_up_sets())
    book = upload(client, "my own name.txt", MADE_UP["the-verdict"])
    other = upload(client, "the-verdict.txt", b"Another text of that name.")
    rows = upload(client, "sms-spam.jsonl", b'{"text": "Hi", "label": "ham"}\n')
    found = offers(client)
    assert [option.value for option in found.options(STORY)] == [book, other, "the-tide-clock"]
    assert found.value(STORY) == book
    assert found.options(MESSAGES)[0].value == rows
    assert (found.missing(STORY), found.missing(MESSAGES)) == ("", "")


def test_models_whose_files_are_not_here_are_not_offered(client: TestClient) -> None:
    found = offers(client)
    assert found.options(WRITER) == found.options(JUDGE) == []
    assert found.missing(WRITER) == ""


def test_where_another_server_generates_it_chooses_the_model(client: TestClient) -> None:
    here = offers(client)
    remote = Offers(here.datasets, here.models, is_remote=True)
    assert [option.value for option in remote.options(WRITER)] == [""]
    assert remote.options(JUDGE) == []
