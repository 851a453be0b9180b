"""What a job's checkpoints are asked about where nobody says."""

from __future__ import annotations

import json

import pytest

from app.config import Settings
from app.db.session import Database
from app.services import first_words
from app.services.storage import Storage
from tests.jobs_made import a_dataset, a_job

LONG = "how " * 100
SAID = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who? "}]
FIRST = {
    "classify": ({"text": "sms", "label": "kind"}, {"sms": " Win now! ", "kind": "spam"}, "Win now!"),
    "instruct": ({"instruction": "do", "output": "did"}, {"do": LONG, "did": "so"}, LONG[:200].strip()),
    "instruct, a dialogue": ({"messages": "talk"}, {"talk": SAID}, "Who?"),
    "dpo, a column of numbers": ({"prompt": "ask"}, {"ask": 7}, "The"),
}


@pytest.mark.parametrize(("columns", "row", "words"), FIRST.values(), ids=FIRST)
def test_the_first_row_is_asked_where_there_is_no_prompt_of_samples(
    settings: Settings, database: Database, columns: dict[str, str], row: dict[str, object], words: str
) -> None:
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    storage.dataset("ds_1").write_text(json.dumps(row) + "\n{}\n")
    with database.write() as session:
        a_dataset(session, rows=2, columns=[{"name": name} for name in row], format="jsonl")
        job = a_job(session, columns=columns, train={"sample_prompt": ""})
        assert first_words.of_job(session, storage, job) == words
        storage.dataset("ds_1").unlink()
        assert first_words.of_job(session, storage, job) == first_words.WITHOUT_DATA


def test_the_prompt_of_the_samples_comes_first(settings: Settings, database: Database) -> None:
    storage = Storage(settings.data_dir, settings.assets_dir)
    with database.write() as session:
        job = a_job(session, train={"sample_prompt": "The sea"})
        assert first_words.of_job(session, storage, job) == "The sea"
        assert first_words.of_job(session, storage, a_job(session)) == first_words.WITHOUT_DATA
