"""The pages of training, as the server sends them."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from app.db.session import Database
from app.db.tables.job import JobRow


@pytest.fixture
def job(database: Database) -> str:
    with database.write() as session:
        session.add(
            JobRow(
                id="job_7",
                recipe="pretrain",
                name="tide-7",
                status="queued",
                datasets=[{"dataset": "the-tide-clock", "weight": 1.0}],
                model={"preset": "gpt-tiny"},
                tokenizer="gpt2",
                validation={"fraction": 0.1},
                train={"max_steps": 3},
                device="cpu",
                devices=1,
                priority=0,
                seed=0,
            )
        )
    return "job_7"


@pytest.mark.parametrize("query", ["recipe=evaluate&kind=answers&model=m", "dataset=ds_1", "model=job_1%403"])
def test_an_address_that_filled_the_form_leads_to_it(client: TestClient, query: str) -> None:
    answer = client.get(f"/ui/jobs?{query}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (301, f"/ui/train?{query}")


def test_the_list_leads_to_the_form(client: TestClient) -> None:
    html = client.get("/ui/jobs").text
    assert '<a class="button" href="/ui/train">Start a job</a>' in html
    assert 'id="job-form"' not in html
    assert '<a href="/ui/train" aria-current="page">Train</a>' in html


def test_a_job_has_a_page_that_names_it_and_lets_plotly_style_it(client: TestClient, job: str) -> None:
    answer = client.get(f"/ui/jobs/{job}")
    assert answer.status_code == 200
    assert "tide-7" in answer.text
    assert "style-src 'self' 'unsafe-inline'" in answer.headers["content-security-policy"]
    assert "script-src 'self';" in answer.headers["content-security-policy"]


def test_a_job_that_is_not_there_is_a_page_that_says_so(client: TestClient) -> None:
    answer = client.get("/ui/jobs/job_0")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "job_0" in answer.text
    assert 'href="/ui/jobs"' in answer.text
