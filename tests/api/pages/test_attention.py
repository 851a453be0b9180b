"""The page of attention: its form, where it stood before, and what it says without JavaScript."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from typing import get_args

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api.pages import attention
from app.api.pages.attention import FIRST_TEXT, STAGES
from app.api.pages.render import STRICT_POLICY
from app.config import Settings
from app.db.session import Database
from app.db.tables.checkpoint import CheckpointRow
from app.llm.config import PRESETS, ModelConfig
from app.llm.model.transformer import Transformer
from app.schemas.inspect import Want
from app.services.runtime import Runtime
from tests.fakes import ByteTokenizer, scripted_runtime
from tests.jobs_made import a_job
from tests.serving import app_of

TEXT = "ab<b>c"


@pytest.fixture
def runtime(settings: Settings, database: Database) -> Iterator[Runtime]:
    torch.manual_seed(6)
    config = ModelConfig(ByteTokenizer.vocab_size, **dict(PRESETS["gpt-tiny"], context_length=1024))
    made = scripted_runtime(settings, database, lambda *_: Transformer(config).eval().requires_grad_(False))
    yield made
    made.models.close()


@pytest.fixture
def client(runtime: Runtime) -> Iterator[TestClient]:
    app: FastAPI = app_of(runtime)
    app.include_router(attention.router)
    with TestClient(app) as made:
        yield made


@pytest.fixture
def shown(client: TestClient) -> Callable[..., str]:
    def shown(**query: object) -> str:
        answer = client.get("/ui/attention", params={"plain": "1", **query})
        assert answer.status_code == 200, answer.text
        return answer.text

    return shown


def test_it_carries_the_default_model_and_the_strict_policy(client: TestClient, settings: Settings) -> None:
    answer = client.get("/ui/attention")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == STRICT_POLICY
    assert f'data-model="{settings.default_model}"' in answer.text
    assert f'<option value="{settings.default_model}" selected>' in answer.text
    assert '<a href="/ui/attention" aria-current="page">' in answer.text
    assert f">\n{FIRST_TEXT}</textarea>" in answer.text
    assert 'id="plain"' not in answer.text  # nothing is computed for who has a script


def test_its_stages_are_things_to_want(client: TestClient) -> None:
    page = client.get("/ui/attention").text
    for name, label, about in STAGES:
        assert name in get_args(Want)
        assert f'value="{name}" data-about="{about}"' in page
        assert label in page
    assert page.count('name="stage"') == len(STAGES)


def test_where_it_stood_before_leads_here(client: TestClient) -> None:
    answer = client.get("/ui/inspect?model=a%20b%40c&text=%26", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (301, "/ui/attention?model=a%20b%40c&text=%26")
    assert client.get("/ui/inspect", follow_redirects=False).headers["location"] == "/ui/attention"


def test_what_the_address_says_stands_in_the_form(client: TestClient) -> None:
    page = client.get("/ui/attention", params={"text": "\n</textarea><script>", "model": "job_1@5", "layer": "1"}).text
    assert ">\n\n&lt;/textarea&gt;&lt;script&gt;</textarea>" in page  # HTML leaves the first line end out
    assert '<option value="job_1@5" selected>job_1@5</option>' in page
    assert re.search(r'<input type="number" id="layer"[^>]* value="1"', page)


def numbers(page: str, name: str) -> list[float]:
    """The vector of that name."""
    found = re.search(rf"<strong>{name}</strong>, \d+ numbers: ([^<]*)</p>", page)
    assert found
    return [float(number) for number in found[1].split()]


def rows(page: str) -> list[list[float]]:
    """The numbers of each token that is looked at: product, score, masked, weight."""
    found = re.findall(r"<tr><th[^>]*>\d+ <code[^>]*>.*?</code></th>((?:<td[^>]*>[^<]*</td>){4})</tr>", page)
    return [[float(cell.replace("−∞", "-inf")) for cell in re.findall(r">([^<]+)</td>", row)] for row in found]


def test_without_a_script_it_shows_the_numbers_of_inspect(client: TestClient, shown: Callable[..., str]) -> None:
    page = shown(text=TEXT, layer=1, head=2, token=3)
    body = {"text": TEXT, "layers": [1], "heads": [2], "tokens": [3]}
    wanted = ["queries", "keys", "values", "products", "scores", "attention", "context"]
    found = client.post("/inspect", json=body | {"want": wanted}).json()
    part = {want: found[want]["data"][0][0] for want in wanted}
    expected = {
        "Query": part["queries"][0],
        "Key": part["keys"][3],
        "Value": part["values"][3],
        "Context": part["context"][0],
    }
    for name, vector in expected.items():
        assert numbers(page, name) == pytest.approx(vector, abs=5.1e-5)
    looked = rows(page)
    assert [row[0] for row in looked] == pytest.approx(part["products"][0], abs=5.1e-5)
    assert [row[1] for row in looked] == pytest.approx(part["scores"][0], abs=5.1e-5)
    assert [row[2] == float("-inf") for row in looked] == [False] * 4 + [True] * 2
    assert [row[3] for row in looked] == pytest.approx(part["attention"][0], abs=5.1e-5)
    assert html.unescape(page).count("<script>") == 0
    assert page.count('<code class="plain-token">&lt;</code>') == 2  # among those looked at, and those with a loss


def test_the_last_token_is_looked_from_where_none_is_named(shown: Callable[..., str]) -> None:
    assert f"Token {len(TEXT) - 1} in layer 0, head 0" in shown(text=TEXT, layer="", head="", token="")


def test_a_checkpoint_typed_is_meant_rather_than_the_model(client: TestClient) -> None:
    query = {"plain": "1", "model": "smollm2-135m-instruct", "checkpoint": " nobody@3 "}
    answer = client.get("/ui/attention", params=query)
    assert answer.status_code == 404
    assert "nobody@3" in refusal(answer.text, "model")


def test_the_newest_checkpoints_of_models_that_write_are_offered(client: TestClient, database: Database) -> None:
    with database.write() as session:
        for recipe in ("pretrain", "classify"):
            a_job(session, id=f"job_{recipe}", recipe=recipe, name=f"<i>{recipe}")
            for step in (3, 1200):
                about = dict(attempt=1, fence=1, path="p", size_bytes=1, sha256="", metrics={}, created_at=float(step))
                session.add(CheckpointRow(id=f"job_{recipe}@{step}", job_id=f"job_{recipe}", step=step, **about))
    page = client.get("/ui/attention").text
    found = re.search(r'<datalist id="checkpoints">(.*?)</datalist>', page, re.DOTALL)
    assert found
    assert re.findall(r'<option value="([^"]+)">([^<]*)</option>', found[1]) == [
        ("job_pretrain@1200", "&lt;i&gt;pretrain, step 1,200"),
        ("job_pretrain@3", "&lt;i&gt;pretrain, step 3"),
    ]
    assert 'list="checkpoints"' in page


def refusal(page: str, name: str) -> str:
    """What is said at a field of the form, which is marked."""
    assert re.search(rf'id="{name}"[^>]* aria-invalid="true" aria-errormessage="{name}-refused"', page)
    found = re.search(rf'<span class="refused" id="{name}-refused">([^<]*)</span>', page)
    assert found
    return html.unescape(found[1])


REFUSED = {
    "no text": ({"text": ""}, 422, "text", "must not be empty"),
    "more than is shown": ({"text": "a" * 513}, 422, "text", "shows up to 512 tokens, and the text has 513"),
    "more than the context": ({"text": "a" * 1025}, 422, "text", "more than the 1,024 of the context"),
    "no such model": ({"model": "<i>"}, 404, "model", "<i>"),
    "no such layer": ({"layer": "2"}, 422, "layer", "2 is none of the layers"),
    "no such head": ({"head": "99"}, 422, "head", "99 is none of the heads"),
    "no such token": ({"token": "77"}, 422, "token", "77 is none of the tokens"),
    "a layer that is no number": ({"layer": "one"}, 422, "layer", "must be a whole number"),
    "a head below none": ({"head": "-1"}, 422, "head", "must be a whole number"),
    "a number of a thousand digits": ({"token": "9" * 1000}, 422, "token", "must be a whole number"),
}


@pytest.mark.parametrize(("query", "status", "name", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_wrong_is_said_at_its_field(
    client: TestClient, query: dict[str, str], status: int, name: str, told: str
) -> None:
    answer = client.get("/ui/attention", params={"plain": "1", "text": TEXT} | query)
    assert answer.status_code == status
    assert told in refusal(answer.text, name)
    assert answer.text.count('class="refused"') == 1
    assert 'id="plain"' not in answer.text
