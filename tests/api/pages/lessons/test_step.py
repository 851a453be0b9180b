"""The lessons' steps are true: what each asks of this very service is answered with the book's numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.api.pages.lessons import CHAPTERS
from app.api.pages.lessons.ask import Ask, Request
from app.api.pages.lessons.book import BOOK, Check, at
from app.api.pages.lessons.step import Step
from app.api.pages.lessons.train import Train
from app.config import Settings
from app.main import create_app
from app.services.public_sets import SETS
from tests.fake_sets import REAL_FILES
from tests.golden_facts import FACTS

STEPS = {f"{chapter.number}.{step.id}": step for chapter in CHAPTERS for step in chapter.steps}
COMPARED = {name: step for name, step in STEPS.items() if isinstance(step.does, Ask) and step.does.checks}
every_step = pytest.mark.parametrize("step", STEPS.values(), ids=STEPS.keys())
every_compared = pytest.mark.parametrize("step", COMPARED.values(), ids=COMPARED.keys())


@pytest.fixture(scope="module")
def client(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service with tiktoken's files and without the default model: the book's numbers need none."""
    folder = tmp_path_factory.mktemp("lessons")
    (folder / "assets").mkdir()
    os.symlink(assets / "tiktoken", folder / "assets" / "tiktoken")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=folder / "assets", database_url="", broker_url=""
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def sets(client: TestClient, shared_file: Callable[[str], Path]) -> dict[str, str]:
    """Ids of the datasets that `inkling datasets pull` makes of the public sets, by their names."""
    found = {}
    for one in SETS:
        content = shared_file(REAL_FILES[one.name]).read_bytes()
        if one.rows is not None:
            content = "".join(json.dumps(row) + "\n" for row in one.rows(content.decode())).encode()
        answer = client.post("/datasets", files={"file": (one.file_name, content)}, data={"kind": one.kind})
        assert answer.status_code == 201, answer.text
        found[one.name] = answer.json()["id"]
    return found


def asked(client: TestClient, request: Request) -> Any:
    answer = client.request(request.method, request.path, **({"json": request.body} if request.body else {}))
    assert answer.status_code == 200, answer.text
    return answer.json()


def book_texts(step: Step, sets: dict[str, str]) -> dict[str, str]:
    """What stands in the fields for datasets where the book's are on the machine."""
    return {field.name: sets[field.prefers] for field in step.does.fields if field.prefers}


def assert_agrees(found: Any, check: Check, expected: Any) -> None:
    if isinstance(expected, list):
        assert isinstance(found, list)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_agrees(one, check, other)
    elif isinstance(expected, int | float) and not isinstance(expected, bool):
        absolute, relative = check.allowed
        assert abs(found - expected) <= absolute + relative * abs(expected), (check.label, found, expected)
    else:
        assert found == expected, check.label


@pytest.mark.parametrize("fact", BOOK)
def test_the_books_numbers_are_those_that_the_tests_have(fact: str) -> None:
    assert BOOK[fact].keys() == {"section", "tolerance", "inputs", "expected"}
    known = FACTS[fact]
    assert all(BOOK[fact][part] == known[part] for part in ("tolerance", "inputs", "expected"))
    assert BOOK[fact]["section"]


def test_no_number_is_kept_that_no_lesson_shows() -> None:
    root = Path(__file__).parents[4]
    shown = [*root.glob("app/api/pages/lessons/*.py"), *root.glob("templates/lessons/*.html")]
    source = "".join(path.read_text() for path in shown)
    assert [fact for fact in BOOK if f'"{fact}"' not in source] == []


@every_compared
def test_what_a_step_asks_is_answered_with_the_books_numbers(
    client: TestClient, step: Step, sets: dict[str, str]
) -> None:
    does = step.does
    assert isinstance(does, Ask)
    answer = asked(client, does.request(book_texts(step, sets)))
    for check in does.checks:
        assert_agrees(at(answer, check.at), check, check.expected)
        compared = check.compare(answer)
        assert (compared.off, compared.total > 0) == (0, True), check.label
    if does.only is not None:
        assert at(answer, does.only.at) == does.only.value


@every_compared
def test_all_that_a_step_compares_can_differ(step: Step) -> None:
    """Of an answer without a single number all is off."""
    assert isinstance(step.does, Ask)
    assert all(check.compare({}).off == check.compare({}).total > 0 for check in step.does.checks)


def test_a_number_that_is_off_is_noticed(client: TestClient) -> None:
    does = STEPS["3.simple"].does
    assert isinstance(does, Ask)
    request = does.request({})
    request.body["vectors"][0][0] += 0.01
    answer, scores = asked(client, request), does.checks[0]
    with pytest.raises(AssertionError, match="Scores"):
        assert_agrees(at(answer, scores.at), scores, scores.expected)
    assert (scores.compare(answer).off, scores.compare(answer).total) == (11, 36)  # the first row and column


@every_step
def test_each_step_has_a_request_for_a_shell(step: Step) -> None:
    assert step.does.request({}).command.startswith("curl -s 'http://127.0.0.1:8000/")


@pytest.mark.parametrize("step", [step for step in STEPS.values() if step.is_job], ids=lambda step: step.id)
def test_a_job_that_a_lesson_begins_is_one_that_the_service_takes(
    client: TestClient, step: Step, sets: dict[str, str]
) -> None:
    """Each of its runs, on the book's dataset: what it lacks here is the model alone, which has no files."""
    assert isinstance(step.does, Train)
    for number in range(len(step.does.runs)):
        request = step.does.request(book_texts(step, sets) | {"run": str(number)})
        named = {"name": f"{step.id}-{number}"} if step.does.is_estimated else {}  # an evaluation makes no model
        refusal = client.post("/jobs", json=request.body | named)
        if refusal.status_code != 202:
            assert refusal.json()["error"]["param"] == "model", refusal.text
            continue
        assert client.post(f"/jobs/{refusal.json()['id']}/cancel").status_code == 200


def test_a_number_is_written_as_the_book_writes_it() -> None:
    scores = next(check for check in STEPS["3.causal"].does.checks if check.label == "Scores")  # type: ignore[union-attr]
    assert scores.book[0] == ["0.2899", "−∞", "−∞", "−∞", "−∞", "−∞"]
    assert scores.is_wide
