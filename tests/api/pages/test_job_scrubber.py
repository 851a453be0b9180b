"""The scrubber of a job's page: where one may stop, and what is shown of a checkpoint without JavaScript."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator

import pytest
import torch
from fastapi.testclient import TestClient

from app.api.pages import jobs
from app.config import Settings
from app.db.session import Database
from app.db.tables import event
from app.db.tables.checkpoint import CheckpointRow
from app.llm.config import PRESETS, ModelConfig
from app.llm.model.transformer import Transformer
from app.services.model_files import Place
from app.services.runtime import Runtime
from tests.fakes import ByteTokenizer, scripted_runtime
from tests.jobs_made import a_job
from tests.serving import app_of

PROMPT = "a<b>"
TRAIN = {"sample_prompt": PROMPT, "sample_tokens": 6, "keep_checkpoints": 2, "keep_best": True}
GONE, KEPT, SAMPLED = 10, 20, 30


def network(place: Place, _tell: object) -> Transformer:
    """Another one for each checkpoint."""
    torch.manual_seed(int(place.version))
    config = ModelConfig(ByteTokenizer.vocab_size, **dict(PRESETS["gpt-tiny"], context_length=64))
    return Transformer(config).eval().requires_grad_(False)


@pytest.fixture
def runtime(settings: Settings, database: Database) -> Iterator[Runtime]:
    with database.write() as session:
        for recipe in ("pretrain", "word2vec", "evaluate"):
            a_job(session, id=f"job_{recipe}", recipe=recipe, train=TRAIN)
        for step in (KEPT, SAMPLED):
            folder = settings.data_dir / "jobs" / "job_pretrain" / f"s{step}"
            folder.mkdir(parents=True)
            about = dict(attempt=1, fence=1, path=f"s{step}", size_bytes=1, sha256=str(step), metrics={})
            session.add(CheckpointRow(id=f"job_pretrain@{step}", job_id="job_pretrain", step=step, **about))
        for step in (GONE, KEPT, SAMPLED):
            event.add(session, "job_pretrain", "checkpoint", "saved", data={"step": step})
        for step in (GONE, SAMPLED):
            event.add(session, "job_pretrain", "sample", "…", data={"step": step, "text": f"{PROMPT} <i>{step}"})
    made = scripted_runtime(settings, database, network)
    yield made
    made.models.close()


@pytest.fixture
def client(runtime: Runtime) -> Iterator[TestClient]:
    app = app_of(runtime)
    app.include_router(jobs.router)
    with TestClient(app) as made:
        yield made


def page(client: TestClient, recipe: str = "pretrain", status: int = 200, **query: object) -> str:
    answer = client.get(f"/ui/jobs/job_{recipe}", params=query)
    assert answer.status_code == status, answer.text
    return answer.text


def text_of(shown: str) -> str | None:
    found = re.search(r'id="plain-text">([^<]*)</blockquote>', shown)
    return None if found is None else html.unescape(found[1])


def likely(shown: str) -> list[tuple[str, float]]:
    rows = re.findall(r'<code class="plain-token">([^<]*)</code> ([\d.]+) %', shown)
    return [(html.unescape(text), float(share)) for text, share in rows]


def test_all_steps_that_were_saved_are_stops_and_the_last_one_is_chosen(client: TestClient, runtime: Runtime) -> None:
    shown = page(client)
    options = re.findall(r'<option value="(\d+)"( selected)?>([^<]*)</option>', shown)
    assert options == [("10", "", "10 (no longer kept)"), ("20", "", "20"), ("30", " selected", "30")]
    assert f'data-prompt="{html.escape(PROMPT)}"' in shown
    assert 'data-kind="text"' in shown
    assert 'data-tokens="6"' in shown
    assert "plain-likely" not in shown  # nothing is computed for who has a script
    assert runtime.models.loops() == {}


@pytest.mark.parametrize("recipe", ["word2vec", "evaluate"])
def test_what_takes_no_prompt_has_no_scrubber(client: TestClient, recipe: str) -> None:
    shown = page(client, recipe, plain="1", step=KEPT)
    assert 'id="scrubber"' not in shown
    assert 'id="scrub-range"' not in shown


@pytest.mark.parametrize("step", [KEPT, SAMPLED])
def test_without_a_script_it_shows_what_the_checkpoint_says(client: TestClient, step: int) -> None:
    model = f"job_pretrain@{step}"
    shown = page(client, plain="1", step=step)
    body = {"model": model, "text": PROMPT, "tokens": [len(PROMPT) - 1], "want": ["next"], "top": 8}
    found = client.post("/inspect", json=body).json()["next"][0]["top"]
    expected = [(one["text"], round(math.exp(one["logprob"]) * 100, 1)) for one in found]
    assert [text for text, _ in likely(shown)] == [text for text, _ in expected]
    assert [share for _, share in likely(shown)] == pytest.approx([share for _, share in expected], abs=0.051)
    asked = {"model": model, "prompt": PROMPT, "max_new_tokens": 6, "temperature": 0}
    written = client.post("/generate", json=asked).json()["choices"][0]["text"]
    assert text_of(shown) == (f"{PROMPT} <i>{SAMPLED}" if step == SAMPLED else PROMPT + written)


def test_a_prompt_of_ones_own_is_written_on_by_the_checkpoint(client: TestClient) -> None:
    shown = page(client, plain="1", step=SAMPLED, prompt="x" * 60)
    assert (text_of(shown) or "").startswith("x" * 60)
    assert len(text_of(shown) or "") <= 64  # of the context four tokens are left
    assert 'value="' + "x" * 60 + '"' in shown


def test_a_checkpoint_that_is_gone_is_told_and_its_sample_stays(client: TestClient, runtime: Runtime) -> None:
    shown = page(client, plain="1", step=GONE)
    assert "The checkpoint of step 10 is no longer kept. This job keeps the newest 2 and the best one." in shown
    assert text_of(shown) == f"{PROMPT} <i>{GONE}"
    assert likely(shown) == []
    assert runtime.models.loops() == {}
    assert text_of(page(client, plain="1", step=GONE, prompt="other")) is None


def test_what_is_refused_is_told(client: TestClient) -> None:
    shown = page(client, plain="1", step=KEPT, prompt="y" * 65, status=422)
    assert "more than the 64 of the context" in shown
    assert likely(shown) == []


def test_an_address_that_names_no_stop_leads_to_the_last_one(client: TestClient) -> None:
    assert text_of(page(client, plain="1", step="<i>")) == f"{PROMPT} <i>{SAMPLED}"
