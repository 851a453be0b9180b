"""The cross-owner matrix: every route that names a thing × a stranger's key, and every field that names one.

The routes are walked, not listed: a new one with a place in its path is asked here at once, and one whose place is of
an unknown kind fails. What a stranger hears of another's thing is what they hear of one that never was, and nothing
changes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from app.db.base import Base
from app.db.tables.branch import BranchRow
from app.db.tables.dataset import DatasetRow
from app.db.tables.job import JobRow
from app.db.tables.model import ModelRow
from app.db.tables.tokenizer import TokenizerRow
from app.main import create_app
from app.services import keys, runners
from app.services.runtime import Runtime
from tests.evaluated import TASKS, House, house_on, no_kernels, settings_in
from tests.routes import Way, ways

NO_THINGS = ("/ui/learn/{chapter}", "/ui/learn/{chapter}/{step}")
"""Routes whose places name parts of the service."""
BODIES: dict[str, dict[str, Any]] = {
    "PATCH /jobs/{job_id}": {"json": {"priority": 3}},
    "POST /jobs/{job_id}/duplicate": {"json": {}},
    "POST /ui/models/{name}": {"data": {"do": "unload"}},
}
QUERIES = {
    "GET /tokenizers/{name}/merges": "?text=tide",
    "GET /datasets/{dataset_id}/report": "?tokenizer=tides",
    "GET /datasets/{dataset_id}/batches": "?tokenizer=tides",
}
LACKING = {"GET /models/{name}/report", "GET /jobs/{job_id}/report"}
"""What answers its owner 404, too, of a thing that has none."""
TOKEN = {"id": 1, "text": " tide", "bytes": [32], "logprob": -1.0, "sampled_logprob": -1.0, "top": [], "chosen": False}
A_BRANCH = {
    "model": "m",
    "sampling": {"max_new_tokens": 1},
    "finish_reason": "length",
    "tokens": [TOKEN],
    "prompt": "a",
}


@dataclass(frozen=True)
class Things:
    """What the owner has."""

    text: str
    rows: str
    tokenizer: str
    model: str
    adapter: str
    classifier: str
    trained: str
    evaluation: str
    queued: str
    checkpoint: str
    branch: str
    shared: str
    """A job of nobody's."""

    @property
    def jobs(self) -> tuple[str, ...]:
        return (self.queued, self.evaluation, self.trained)

    @property
    def models(self) -> tuple[str, ...]:
        return (self.adapter, self.model, self.classifier, self.checkpoint)

    def named_by(self, way: Way) -> tuple[str, ...]:
        """Those that may stand in the place of a route."""
        (place,) = re.findall(r"{(\w+)(?::path)?}", way.path.replace("/{step}", ""))
        known = {
            "dataset_id": (self.rows, self.text),
            "file_id": (self.rows,),
            "branch_id": (self.branch,),
            "job_id": self.jobs[:1] if way.path.startswith("/v1/") else self.jobs,
            "name": (self.tokenizer,) if way.path.startswith("/tokenizers") else self.models,
        }
        return known[place]


def never(thing: str) -> str:
    """A name of the same form that never was."""
    if "@" in thing:
        return f"{never(thing.partition('@')[0])}@{thing.partition('@')[2]}"
    prefix, _, rest = thing.partition("_")
    return f"{prefix}_{'0' * len(rest)}" if rest else re.sub("[a-z]", "z", thing)


def lived_in(house: House) -> Things:
    """All kinds of things, made as they are made."""
    owner = house.client
    rows, text = house.add_rows(TASKS * 7), "".join(f"{n} tides turn at the clock.\n" for n in range(200))
    sent = owner.post("/datasets", files={"file": ("own.txt", text)}).json()["id"]
    words = {"name": "own-words", "kind": "word", "version": 2, "dataset": sent}
    assert owner.post("/tokenizers", json=words).status_code == 201
    house.add_adapter("own-model:own", house.add_model("own-model", 3))
    house.add_classifier("own-sorter", ("calm", "storm"))
    learn = {"recipe": "pretrain", "dataset": "the-tide-clock", "model": "one", "name": "own-trained", "device": "cpu"}
    trained = owner.post("/jobs", json=learn | {"train": {"max_steps": 2, "batch_size": 2}})
    assert trained.status_code == 202, trained.text
    assert house.run().status == "succeeded"
    evaluation = house.done({"kind": "answers", "max_new_tokens": 2}, dataset=rows)
    queued = owner.post("/jobs", json={"recipe": "instruct", "dataset": rows, "model": "one", "name": "own-next"})
    assert queued.status_code == 202, queued.text
    shared = owner.post("/jobs", json={"recipe": "pretrain", "dataset": "the-tide-clock", "model": "one"})
    assert shared.status_code == 202, shared.text
    (saved, *_) = owner.get(f"/jobs/{trained.json()['id']}/checkpoints").json()["data"]
    return Things(
        text=sent,
        rows=rows,
        tokenizer="own-words",
        model="own-model",
        adapter="own-model:own",
        classifier="own-sorter",
        trained=trained.json()["id"],
        evaluation=evaluation,
        queued=queued.json()["id"],
        checkpoint=saved["id"],
        branch=owner.post("/branches", json=A_BRANCH).json()["id"],
        shared=shared.json()["id"],
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("another")


@pytest.fixture(scope="module")
def things(folder: Path) -> Things:
    settings = settings_in(folder)
    with house_on(settings) as house:
        sent = settings.effective_import_dir / "sent"
        sent.mkdir(parents=True)
        for name in ("config.json", "adapter_config.json", "adapter_model.safetensors"):
            (sent / name).write_text("{}")
        return lived_in(house)


@pytest.fixture(scope="module")
def client(folder: Path, things: Things) -> Iterator[TestClient]:
    """The same house, where keys are required by now."""
    chosen = {"assets_dir": folder / "no-assets", "default_tokenizer": "tides"}
    settings = settings_in(folder).model_copy(update=chosen | {"require_keys": "true"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runners, "kernels_folder", no_kernels)
        with TestClient(create_app(settings), raise_server_exceptions=False, follow_redirects=False) as made:
            yield made


Headers = dict[str, str]


@pytest.fixture(scope="module")
def held(client: TestClient, things: Things) -> dict[str, Headers]:
    """The header of each: two people of the same scopes, and an admin. The things are the first one's."""
    with client.app.state.runtime.database.write() as session:
        made = {name: keys.create(session, name) for name in ("owner", "stranger")}
        made["admin"] = keys.create(session, "admin", ["admin"])
        owner = made["owner"].row.id
        names = {"own-trained", *things.models[:3]}
        for table, column, chosen in (
            (DatasetRow, DatasetRow.id, {things.text, things.rows}),
            (TokenizerRow, TokenizerRow.name, {things.tokenizer}),
            (ModelRow, ModelRow.name, names),
            (JobRow, JobRow.id, set(things.jobs)),
            (BranchRow, BranchRow.id, {things.branch}),
        ):
            session.execute(update(table).where(column.in_(chosen)).values(owner=owner))
    return {name: {"authorization": f"Bearer {key.secret}"} for name, key in made.items()}


def state(client: TestClient) -> dict[str, Any]:
    """All rows, all files, and what is in memory; but for who was seen when, and what waits for room."""
    runtime: Runtime = client.app.state.runtime
    found: dict[str, Any] = {}
    with runtime.database.read() as session:
        for table in Base.metadata.sorted_tables:
            if table.name not in ("api_keys", "audit"):
                found[table.name] = sorted(map(repr, session.execute(select(table)).all()))
    lasting = [runtime.storage.data_dir / each for each in ("models", "jobs", "datasets", "tokenizers")]
    found["files"] = sorted((str(each), each.stat().st_mtime_ns) for place in lasting for each in place.rglob("*"))
    found["memory"] = sorted(set(runtime.models.loops()) - {"one"})  # it is there for all
    return found


def with_places(client: TestClient) -> list[Way]:
    found = [way for way in ways(client.app) if "{" in way.path and way.method != "HEAD"]
    return [way for way in found if way.path not in NO_THINGS]


def ask(client: TestClient, headers: Headers, way: Way, thing: str, step: str) -> Any:
    path = re.sub(r"{(?!step)\w+(?::path)?}", thing, way.path).replace("{step}", step)
    return client.request(way.method, path + QUERIES.get(way.line, ""), headers=headers, **BODIES.get(way.line, {}))


def as_of(thing: str, text: str) -> str:
    """An answer about a thing, as it would be about one that never was."""
    told = text.replace(thing, never(thing))
    for sign in "@:":  # a checkpoint's job, an adapter's base
        if sign in thing:
            told = told.replace(thing.partition(sign)[0], never(thing).partition(sign)[0])
    return told


def test_a_stranger_finds_nothing_at_any_route(client: TestClient, things: Things, held: dict[str, Headers]) -> None:
    before, asked = state(client), 0
    step = things.checkpoint.partition("@")[2]
    for way in with_places(client):
        for thing in things.named_by(way):
            strange, absent = (ask(client, held["stranger"], way, each, step) for each in (thing, never(thing)))
            assert strange.status_code == 404, (way, thing, strange.text)
            assert as_of(thing, strange.text) == absent.text, way
            assert dict(strange.headers).keys() == dict(absent.headers).keys(), way
            asked += 1
    assert asked > 90
    assert state(client) == before


def test_no_list_and_no_page_names_them(client: TestClient, things: Things, held: dict[str, Headers]) -> None:
    """Every GET without a place: nothing of the owner's is told to a stranger, and all lists tell the owner."""
    told = []
    for way in ways(client.app):
        if way.method != "GET" or "{" in way.path or way.path == "/metrics":
            continue
        names = [*things.models, *things.jobs, things.text, things.rows, things.tokenizer, things.branch, "own-trained"]
        answers = {name: client.get(way.path, headers=held[name]).text for name in ("owner", "stranger", "admin")}
        assert not [name for name in names if name in answers["stranger"]], way
        if any(name in answers["owner"] for name in names):
            told.append(way.path)
            assert any(name in answers["admin"] for name in names), way
    lists = {"/datasets", "/jobs", "/models", "/tokenizers", "/branches", "/v1/models", "/v1/files"}
    assert lists | {"/v1/fine_tuning/jobs", "/ui/datasets", "/ui/models"} <= set(told)


MODEL_FIELDS: list[tuple[str, str, Any]] = [
    ("POST", "/generate", {"prompt": "The", "model": "{}", "max_new_tokens": 1}),
    ("POST", "/generate", {"messages": [{"role": "user", "content": "The"}], "model": "{}"}),
    ("POST", "/generate", {"prompt": "The", "model": "{}", "stream": True}),
    ("POST", "/v1/completions", {"prompt": "The", "model": "{}", "max_tokens": 1}),
    ("POST", "/v1/completions", {"prompt": "The", "model": "{}", "max_tokens": 1, "stream": True}),
    ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "The"}], "model": "{}"}),
    ("POST", "/v1/embeddings", {"input": "The", "model": "{}"}),
    ("POST", "/inspect", {"text": "The", "model": "{}", "want": ["logits"]}),
    ("POST", "/embeddings", {"text": "The", "model": "{}"}),
    ("POST", "/embeddings/analogy", {"model": "{}", "plus": ["The"]}),
    ("POST", "/classify", {"input": "The", "model": "{}"}),
    ("POST", "/tokenize", {"prompt": "The", "model": "{}"}),
    ("POST", "/detokenize", {"tokens": [1], "model": "{}"}),
    ("POST", "/jobs", {"recipe": "pretrain", "dataset": "the-tide-clock", "model": "{}"}),
    ("POST", "/jobs", {"recipe": "instruct", "dataset": "ferry-questions", "model": "{}"}),
    ("POST", "/jobs", {"recipe": "classify", "dataset": "ferry-messages", "model": "{}"}),
    ("POST", "/jobs/estimate", {"recipe": "pretrain", "dataset": "the-tide-clock", "model": "{}"}),
    ("POST", "/jobs/preview", {"recipe": "instruct", "dataset": "ferry-questions", "model": "{}"}),
    ("POST", "/v1/fine_tuning/jobs", {"training_file": "ferry-questions", "model": "{}"}),
    ("POST", "/ui/generate", {"prompt": "The", "model": "{}"}),
    ("GET", "/models?after={}", None),
    ("GET", "/jobs?model={}", None),
    ("GET", "/ui/generate?model={}&prompt=The", None),
    ("GET", "/ui/compare?a=one&b={}", None),
    ("GET", "/ui/attention?model={}&text=The&plain=1", None),
    ("GET", "/ui/embeddings?model={}&text=The&plain=1", None),
]
EVALUATIONS: list[dict[str, Any]] = [
    {"model": "{}", "evaluate": {"kind": "perplexity"}},
    {"model": "one", "evaluate": {"kind": "perplexity", "against": ["{}"]}},
    {"model": "one", "dataset": "ferry-questions", "evaluate": {"kind": "judge", "judge": {"model": "{}"}}},
]
MODEL_FIELDS += [
    ("POST", "/jobs", {"recipe": "evaluate", "dataset": "the-tide-clock", "device": "cpu"} | more)
    for more in EVALUATIONS
]
TOKENIZER_FIELDS: list[tuple[str, str, Any]] = [
    ("POST", "/tokenize", {"text": "tide", "tokenizer": "{}"}),
    ("POST", "/tokenize", {"text": "tide", "tokenizer": ["tides", "{}"]}),
    ("POST", "/encode", {"text": "tide", "tokenizer": "{}"}),
    ("POST", "/decode", {"ids": [1], "tokenizer": "{}"}),
    ("POST", "/tokenizers/report", {"dataset": "the-tide-clock", "tokenizers": ["tides", "{}"]}),
    ("POST", "/windows", {"text": "a b c d e f", "tokenizer": "{}", "max_length": 2, "stride": 1, "batch_size": 1}),
    ("POST", "/embeddings", {"tokenizer": "{}", "output_dim": 2, "text": "tide"}),
    ("POST", "/jobs", {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "{}"}),
    ("POST", "/jobs", {"recipe": "word2vec", "dataset": "the-tide-clock", "tokenizer": "{}"}),
    ("POST", "/jobs/estimate", {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "{}"}),
    ("POST", "/models", {"name": "new-one", "tokenizer": "{}", "source": {"folder": "sent"}}),
    ("GET", "/datasets/the-tide-clock/report?tokenizer={}", None),
    ("GET", "/datasets/the-tide-clock/batches?tokenizer={}", None),
    ("GET", "/tokenizers?after={}", None),
    ("GET", "/ui/tokens?tokenizer={}&text=tide", None),
]
DATASET_FIELDS: list[tuple[str, str, Any]] = [
    ("POST", "/embeddings", {"model": "one", "frequent": {"dataset": "{}"}}),
    ("POST", "/lessons/labelled", {"dataset": "{}"}),
    ("GET", "/datasets/the-tide-clock/report?tokenizer=tides&validation={}", None),
    ("POST", "/v1/fine_tuning/jobs", {"training_file": "ferry-questions", "validation_file": "{}", "model": "one"}),
    ("GET", "/jobs?dataset={}", None),
]
"""Beside those of `tests/services/test_ownership.py`."""
JOB_FIELDS: list[tuple[str, str, Any]] = [
    ("GET", "/jobs?after={}", None),
    ("GET", "/models/one/evaluations?after={}", None),
    ("GET", "/ui/models/one?evaluation={}", None),
]


def fields(things: Things) -> list[tuple[tuple[str, str, Any], str]]:
    adapter, again = f"{things.model}:new", f"/jobs/{things.shared}/duplicate"
    return [
        *((each, model) for each in MODEL_FIELDS for model in things.models),
        *((each, things.tokenizer) for each in TOKENIZER_FIELDS),
        *((each, dataset) for each in DATASET_FIELDS for dataset in (things.rows, things.text)),
        *((("POST", again, {"model": "{}"}), model) for model in things.models),
        (("POST", again, {"dataset": "{}"}), things.text),
        (("POST", again, {"model": {"preset": "gpt-tiny"}, "tokenizer": "{}"}), things.tokenizer),
        *((each, job) for each in JOB_FIELDS for job in things.jobs),
        (("GET", "/v1/fine_tuning/jobs?after={}", None), things.queued),
        (("GET", f"/v1/fine_tuning/jobs/{things.queued}/checkpoints?after={{}}", None), things.checkpoint),
        (("POST", "/models", {"name": "{}", "source": {"folder": "sent"}}), adapter),
    ]


def named(client: TestClient, headers: Headers, field: tuple[str, str, Any], thing: str) -> Any:
    method, path, body = field
    sent = None if body is None else json.loads(json.dumps(body).replace("{}", thing))
    as_what = "data" if path == "/ui/generate" else "json"
    return client.request(method, path.replace("{}", thing), headers=headers, **{as_what: sent})


def test_nor_in_any_field(client: TestClient, things: Things, held: dict[str, Headers]) -> None:
    before, wrong = state(client), []
    for field, thing in fields(things):
        strange, absent = (named(client, held["stranger"], field, each) for each in (thing, never(thing)))
        may_be_empty = field[1].startswith(("/ui/", "/jobs?")) and absent.status_code == 200
        if as_of(thing, strange.text) != absent.text or not (strange.status_code == 404 or may_be_empty):
            wrong.append((*field, thing, strange.status_code, strange.text[:300], absent.text[:300]))
    assert wrong == []
    assert state(client) == before


def test_a_model_in_memory_is_hidden_as_well(client: TestClient, things: Things, held: dict[str, Headers]) -> None:
    """A server that has it at hand looks who asks; asking makes it neither come nor go."""
    write = ("POST", "/generate", {"prompt": "The", "model": "{}", "max_new_tokens": 1})
    for model in (things.model, things.adapter, things.checkpoint):
        assert named(client, held["owner"], write, model).status_code == 200, model
        before = state(client)
        assert things.model in before["memory"]
        assert named(client, held["stranger"], write, model).status_code == 404, model
        assert named(client, held["admin"], write, model).status_code == 200, model
        assert named(client, held["stranger"], write, model).status_code == 404, model
        assert state(client) == before


def test_a_name_that_is_taken_tells_no_more_than_that(
    client: TestClient, things: Things, held: dict[str, Headers]
) -> None:
    before = state(client)
    told = {}
    for headers in (held["stranger"], held["owner"]):
        for name in (things.model, "own-trained", "own-next"):
            learn = {"recipe": "pretrain", "dataset": "the-tide-clock", "name": name, "tokenizer": "tides"}
            for path, body in (("/jobs", learn), ("/models", {"name": name, "source": {"folder": "sent"}})):
                answer = client.post(path, json=body, headers=headers)
                assert (answer.status_code, answer.json()["error"]["code"]) == (409, "name_taken"), answer.text
                told.setdefault(headers["authorization"], []).append(answer.text)
    words = {"name": things.tokenizer, "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    assert client.post("/tokenizers", json=words, headers=held["stranger"]).json()["error"]["code"] == "name_taken"
    assert not re.search(r"job_\w|ds_\w|key_\w", "".join(told[held["stranger"]["authorization"]]))
    assert state(client) == before


def test_a_job_that_another_asked_for_is_not_given_for_its_idempotency_key(
    client: TestClient, held: dict[str, Headers]
) -> None:
    ids = {}
    for name in ("owner", "stranger"):
        learn = {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "tides", "name": f"once-{name}"}
        sent = [client.post("/jobs", json=learn, headers=held[name] | {"idempotency-key": "once"}) for _ in range(2)]
        assert [answer.status_code for answer in sent] == [202, 200], sent[0].text
        (ids[name],) = {answer.json()["id"] for answer in sent}
    assert ids["owner"] != ids["stranger"]


def test_what_is_made_of_a_shared_text_is_shared(client: TestClient, held: dict[str, Headers]) -> None:
    """A job of word vectors makes the text's own words along; the next one's owner finds them there."""
    for name in ("owner", "stranger"):
        asked = {"recipe": "word2vec", "dataset": "the-tide-clock", "name": f"vectors-{name}"}
        answer = client.post("/jobs", json=asked, headers=held[name])
        assert answer.status_code == 202, answer.text


def test_what_is_nobodys_is_read_by_all_and_changed_by_an_admin(client: TestClient, held: dict[str, Headers]) -> None:
    with client.app.state.runtime.database.read() as session:
        job = session.scalars(select(JobRow.id).where(JobRow.name == "once-owner")).one()
    with client.app.state.runtime.database.write() as session:
        session.get_one(JobRow, job).owner = None
    shared = (f"/jobs/{job}", "/models/one", "/models/two", "/tokenizers/tides")
    for path in shared:
        assert client.get(path, headers=held["stranger"]).status_code == 200
        refused = client.delete(path, headers=held["stranger"])
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "missing_scope"), path
    for verb in ("cancel", "pause", "resume", "retry"):
        assert client.post(f"/jobs/{job}/{verb}", headers=held["stranger"]).status_code == 403
    assert client.patch(f"/jobs/{job}", json={"priority": 1}, headers=held["stranger"]).status_code == 403
    assert client.post("/models/one/unload", headers=held["stranger"]).status_code == 403
    assert client.post("/models/one/load", headers=held["stranger"]).status_code == 200
    assert client.patch(f"/jobs/{job}", json={"priority": 1}, headers=held["admin"]).status_code == 200
    assert client.delete(f"/jobs/{job}", headers=held["admin"]).status_code == 200
    assert client.delete("/models/two", headers=held["admin"]).status_code == 200


def is_lacking(way: Way, thing: str, things: Things) -> bool:
    """Whether the owner is told, too, that there is no such thing: a report, a checkpoint, a model that has a row."""
    if way.path.endswith("/{step}"):
        return thing != things.trained
    return way.line in LACKING or (way.method == "DELETE" and thing == things.checkpoint)


@pytest.mark.parametrize("who", ["admin", "owner"])
def test_who_may_is_answered(client: TestClient, things: Things, held: dict[str, Headers], who: str) -> None:
    """The same questions from the owner and from an admin, what changes something last and from the owner alone."""
    step, gone = things.checkpoint.partition("@")[2], set()
    order = {"GET": 0, "POST": 1, "PATCH": 2, "DELETE": 3}
    for way in sorted(with_places(client), key=lambda way: (order[way.method], "job_id" in way.path, way.path)):
        if who == "admin" and way.method != "GET":
            continue
        for thing in things.named_by(way):
            if thing in gone:
                continue
            answer = ask(client, held[who], way, thing, step)
            if not is_lacking(way, thing, things):
                assert answer.status_code not in (403, 404), (way, thing, answer.text)
            is_deleted = way.method == "DELETE" and answer.status_code == 200 and "{step}" not in way.path
            if is_deleted or (way.line == "POST /ui/datasets/{dataset_id}" and answer.status_code == 303):
                gone.add(thing)
    if who == "owner":
        assert gone >= {things.adapter, things.classifier, things.queued, things.tokenizer, things.branch}
