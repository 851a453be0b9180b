"""/v1/fine_tuning/jobs as the public client uses it: jobs under another name. No worker runs here."""

from __future__ import annotations

import json
import time

import openai
import pytest

from app.llm.checkpoint import ModelMeta, save_model
from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.llm.train.config import ClassifyConfig, InstructConfig, PreferenceConfig, TrainConfig
from app.services import leases
from app.services.progress import Progress
from tests.api.openai.conftest import refusal
from tests.jobs_made import a_model, queued
from tests.workers.fake_trainer import Report

STORY = "the-tide-clock"


def pretrain(**hyperparameters: object) -> dict[str, object]:
    return {"type": "pretrain", "pretrain": {"hyperparameters": hyperparameters}}


def create(site, **fields: object):
    asked = {"model": "gpt-tiny", "training_file": STORY, "method": pretrain()} | fields
    return site.openai.fine_tuning.jobs.create(**asked)


def say(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


DIALOGUE = {"messages": [say("user", "When does the tide come?"), say("assistant", "The tide comes at noon.")]}
PAIR = {
    "input": {"messages": [say("user", "When does the tide come?")]},
    "preferred_output": [say("assistant", "The tide comes at noon.")],
    "non_preferred_output": [say("assistant", "No.")],
}
LABELLED = [{"text": "The tide comes.", "label": "tide"}, {"text": "The clock stops.", "label": "clock"}]


def send(site, rows: list[dict[str, object]]) -> str:
    lines = "\n".join(json.dumps(row) for row in rows)
    return site.openai.files.create(file=("rows.jsonl", lines.encode()), purpose="fine-tune").id


@pytest.fixture
def base(site) -> str:
    """A small model of the site's own words."""
    with site.runtime.database.read() as session:
        words = site.runtime.tokenizers.get(session, "tides")
    sizes = {"context_length": 128, "emb_dim": 8, "n_heads": 2, "n_layers": 1, "drop_rate": 0.0}
    config = ModelConfig(vocab_size=words.vocab_size, **sizes)
    saved = save_model(
        site.runtime.storage.model("base"), Transformer(config), ModelMeta(config, "tides", words.eos_id)
    )
    with site.runtime.database.write() as session:
        session.add(a_model("base", tokenizer="tides", config=config.to_dict(), sha256=saved.weights_sha256))
    return "base"


def refused(site, **fields: object) -> tuple[int, str, str | None]:
    with pytest.raises(openai.APIStatusError) as told:
        create(site, **fields)
    return refusal(told.value)


def test_a_job_is_the_native_one_in_openais_words(site):
    made = create(
        site,
        method=pretrain(n_epochs=3, batch_size=4, learning_rate_multiplier=0.3),
        suffix="tides.v2",
        seed=7,
        metadata={"who": "Ada", "why": ""},
    )
    native = site.native.get(f"/jobs/{made.id}").json()
    assert (native["recipe"], native["dataset"], native["model"]) == ("pretrain", STORY, {"preset": "gpt-tiny"})
    assert (native["validation"], native["seed"], native["status"]) == (0.0, 7, "queued")
    assert native["name"] == f"gpt-tiny-tides.v2-{made.id[-6:]}"
    assert (
        native["train"] == TrainConfig(epochs=3, batch_size=4, learning_rate=0.3 * TrainConfig().learning_rate).__dict__
    )

    hyperparameters = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 0.3}
    assert made.model_dump(warnings=False) | {"created_at": 0} == {
        "object": "fine_tuning.job",
        "id": made.id,
        "created_at": 0,
        "finished_at": None,
        "estimated_finish": None,
        "model": "gpt-tiny",
        "fine_tuned_model": None,
        "organization_id": "inkling",
        "status": "queued",
        "hyperparameters": hyperparameters,
        "method": {
            "type": "pretrain",
            "dpo": None,
            "reinforcement": None,
            "supervised": None,
            "pretrain": {"hyperparameters": hyperparameters},
        },
        "training_file": STORY,
        "validation_file": None,
        "result_files": [],
        "trained_tokens": None,
        "error": None,
        "seed": 7,
        "integrations": None,
        "metadata": {"who": "Ada", "why": ""},
    }
    assert site.openai.fine_tuning.jobs.retrieve(made.id) == made


@pytest.mark.parametrize(
    ("method", "recipe", "rows", "config"),
    [
        ("supervised", "instruct", [DIALOGUE] * 12, InstructConfig(template="alpaca")),
        ("dpo", "dpo", [PAIR] * 12, PreferenceConfig(template="alpaca")),
        ("classification", "classify", LABELLED * 6, ClassifyConfig()),
    ],
    ids=["supervised", "dpo", "classification"],
)
def test_a_method_is_a_recipe_on_a_model_that_is_there(site, base, method, recipe, rows, config):
    sent = send(site, rows)
    made = create(site, model=base, training_file=sent, method={"type": method}, suffix="tides")
    native = site.native.get(f"/jobs/{made.id}").json()
    assert (native["recipe"], native["model"], native["validation"]) == (recipe, base, 0.1)
    assert native["name"] == f"base-tides-{made.id[-6:]}"
    assert native["train"] == config.__dict__
    assert (made.model, made.validation_file, made.method.type) == (base, None, method)
    told = made.hyperparameters.model_dump()
    assert told["n_epochs"] == config.default_epochs
    assert (told["batch_size"], told["learning_rate_multiplier"]) == (config.batch_size, 1.0)

    settings = {"n_epochs": 2, "batch_size": 3, "learning_rate_multiplier": 0.5}
    asked = {"type": method, method: {"hyperparameters": settings}}
    train = site.native.get(f"/jobs/{create(site, model=base, training_file=sent, method=asked).id}").json()["train"]
    assert (train["epochs"], train["batch_size"]) == (2, 3)
    assert train["learning_rate"] == 0.5 * config.learning_rate
    assert train["min_learning_rate"] == 0.5 * config.min_learning_rate


def test_without_a_method_it_is_supervised(site, base):
    asked = {"model": base, "training_file": send(site, [DIALOGUE] * 12)}
    made = site.openai.fine_tuning.jobs.create(**asked, hyperparameters={"n_epochs": 4})
    assert made.method.type == "supervised"
    assert (made.hyperparameters.n_epochs, made.method.supervised.hyperparameters.n_epochs) == (4, 4)
    with pytest.raises(openai.BadRequestError) as told:
        site.openai.fine_tuning.jobs.create(**asked, hyperparameters={"batch_size": 100_000})
    assert refusal(told.value) == (400, "invalid_value", "hyperparameters.batch_size")


def test_beta_is_of_dpo(site, base):
    asked = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.4}}}
    made = create(site, model=base, training_file=send(site, [PAIR] * 12), method=asked)
    assert site.native.get(f"/jobs/{made.id}").json()["train"]["beta"] == 0.4
    assert made.method.dpo.hyperparameters.beta == 0.4


@pytest.mark.parametrize(
    ("method", "rows", "name"),
    [
        ("supervised", [DIALOGUE] * 12, "base:tides-"),
        ("dpo", [PAIR] * 12, "base:tides-"),
        ("classification", LABELLED * 6, "base-tides-"),  # it holds its base, for a head of classes belongs to none
    ],
    ids=["supervised", "dpo", "classification"],
)
def test_an_adapter_is_asked_for_and_told(site, base, method, rows, name):
    sent = send(site, rows)
    lora = {"rank": 2, "alpha": 4.0, "dropout": 0.1, "targets": ["query", "value"]}
    asked = {"type": method, method: {"hyperparameters": {"lora": lora}}}
    made = create(site, model=base, training_file=sent, method=asked, suffix="tides")
    native = site.native.get(f"/jobs/{made.id}").json()
    assert native["train"]["lora"] == lora
    assert native["name"] == f"{name}{made.id[-6:]}"
    assert made.to_dict()["method"][method]["hyperparameters"]["lora"] == lora
    for wrong, field in (({"targets": ["fin"]}, ".targets"), ({"rank": 0}, ".rank"), ({"odd": 1}, ".odd")):
        asked = {"type": method, method: {"hyperparameters": {"lora": wrong}}}
        status, _, param = refused(site, model=base, training_file=sent, method=asked)
        assert (status, param) == (400, f"method.{method}.hyperparameters.lora{field}")


def test_pretraining_takes_no_adapter_here(site):
    assert refused(site, method=pretrain(lora={"rank": 2}))[1] == "unknown_field"


def test_one_row_is_learnt_from_and_not_kept_back(site, base):
    made = create(site, model=base, training_file=send(site, [DIALOGUE]), method={"type": "supervised"})
    assert site.native.get(f"/jobs/{made.id}").json()["validation"] == 0.0


@pytest.mark.parametrize(
    ("method", "rows", "told", "param"),
    [
        ("supervised", [DIALOGUE, {"messages": [say("user", "hello")]}], "line 2", "training_file"),
        ("supervised", LABELLED, "messages", "training_file"),
        ("dpo", [PAIR, PAIR | {"preferred_output": []}], "line 2", "training_file"),
        ("dpo", [DIALOGUE], "line 1", "training_file"),
        ("classification", LABELLED, "of 2 examples none is left", "validation_file"),
    ],
    ids=["no-answer", "no-dialogues", "no-choice", "no-pairs", "one-of-each-class"],
)
def test_rows_that_cannot_be_learnt_from_are_told(site, base, method, rows, told, param):
    sent = send(site, rows)
    with pytest.raises(openai.BadRequestError) as refused_with:
        create(site, model=base, training_file=sent, method={"type": method})
    status, _code, field = refusal(refused_with.value)
    assert (status, field) == (400, param)
    assert told in refused_with.value.message


@pytest.mark.parametrize("method", ["supervised", "dpo", "classification"])
def test_a_new_network_is_only_pretrained(site, method):
    assert refused(site, model="gpt-tiny", training_file="small-tasks", method={"type": method}) == (
        404, "model_not_found", "model",
    )  # fmt: skip


def test_auto_is_the_recipes_default(site):
    made = create(site, method=pretrain(n_epochs="auto", batch_size="auto", learning_rate_multiplier="auto"))
    plain = create(site, method={"type": "pretrain"})
    assert made.hyperparameters == plain.hyperparameters
    assert made.hyperparameters.model_dump() == {"n_epochs": 1, "batch_size": 8, "learning_rate_multiplier": 1.0}
    assert site.native.get(f"/jobs/{made.id}").json()["train"] == TrainConfig().__dict__


def test_a_validation_file_is_measured_on(site):
    made = create(site, validation_file=STORY)
    assert (made.training_file, made.validation_file) == (STORY, STORY)
    assert site.native.get(f"/jobs/{made.id}").json()["validation"] == STORY


def test_a_native_job_is_seen_here(site):
    body = {"recipe": "pretrain", "dataset": STORY, "name": "mine", "train": {"max_steps": 5, "learning_rate": 1e-3}}
    job = site.native.post("/jobs", json=body).json()
    seen = site.openai.fine_tuning.jobs.retrieve(job["id"])
    assert (seen.training_file, seen.metadata, seen.seed) == (STORY, None, job["seed"])
    assert seen.hyperparameters.model_dump() == {"n_epochs": "auto", "batch_size": 8, "learning_rate_multiplier": 2.0}


def test_a_job_of_another_recipe_is_not_seen_here(site):
    words = queued(site.runtime.database, recipe="word2vec")
    made = create(site)
    assert [job.id for job in site.openai.fine_tuning.jobs.list()] == [made.id]
    with pytest.raises(openai.NotFoundError) as told:
        site.openai.fine_tuning.jobs.cancel(words)
    assert "word2vec" in told.value.message
    assert site.native.get(f"/jobs/{words}").json()["status"] == "queued"


def test_pages_of_jobs(site):
    ids = [create(site).id for _ in range(3)]
    page = site.openai.fine_tuning.jobs.list(limit=2)
    assert ([job.id for job in page.data], page.has_more) == ([ids[2], ids[1]], True)
    assert [job.id for job in page] == ids[::-1]
    with pytest.raises(openai.NotFoundError) as told:
        site.openai.fine_tuning.jobs.list(after="ftjob-1")
    assert refusal(told.value) == (404, "job_not_found", "after")


def test_jobs_are_chosen_by_what_was_noted_on_them(site):
    odd = """a "quoted".key'$[0]"""
    noted = [{"team": "tides", "run": "1"}, {"team": "tides", "run": ""}, {"team": "clocks", odd: "x=&y"}, None]
    ids = [create(site, **({"metadata": pairs} if pairs else {})).id for pairs in noted]
    jobs = site.openai.fine_tuning.jobs

    def chosen(**metadata: str) -> list[str]:
        return [job.id for job in jobs.list(metadata=metadata, limit=1)]

    assert chosen(team="tides") == [ids[1], ids[0]]
    assert chosen(team="tides", run="") == [ids[1]]
    assert chosen(team="tides", run="2") == chosen(crew="tides") == []
    assert chosen(**{odd: "x=&y"}) == [ids[2]]
    assert chosen() == ids[::-1]
    assert [job.id for job in jobs.list(extra_query={"metadata": "null"})] == [ids[3]]
    for wrong, code, param in (
        ({"metadata": "tides"}, "invalid_value", "metadata"),
        ({"metadata[a]": "b", "metadata": "null"}, "invalid_value", None),
        ({"metadata[]": "b"}, "invalid_value", "metadata..[key]"),
        ({"metadata[a]": "b" * 513}, "invalid_value", "metadata.a"),
        ({"metadata.a": "b"}, "unknown_field", "metadata.a"),
    ):
        with pytest.raises(openai.BadRequestError) as told:
            jobs.list(extra_query=wrong)
        assert refusal(told.value) == (400, code, param)


def test_a_job_is_paused_resumed_and_cancelled(site):
    jobs = site.openai.fine_tuning.jobs
    made = create(site)
    assert jobs.pause(made.id).status == "paused"
    assert site.native.get(f"/jobs/{made.id}").json()["status"] == "paused"
    assert jobs.resume(made.id).status == "queued"
    cancelled = jobs.cancel(made.id)
    assert (cancelled.status, cancelled.fine_tuned_model) == ("cancelled", None)
    assert cancelled.finished_at is not None
    with pytest.raises(openai.ConflictError) as told:
        jobs.cancel(made.id)
    assert told.value.response.headers["x-should-retry"] == "false"
    messages = [event.message for event in jobs.list_events(made.id)]
    assert messages[-1] == "queued"
    assert len(messages) == 4


def test_what_a_run_tells(site):
    jobs, database = site.openai.fine_tuning.jobs, site.runtime.database
    made = create(site)
    claimed = leases.claim(database, "w1", 60.0)
    assert claimed is not None
    progress = Progress(database, made.id, claimed.fence)
    progress.report(Report(1, 4, loss=3.5, tokens=100, seconds_left=30.0))
    progress.report(Report(2, 4, loss=2.5, val_loss=2.75, tokens=200, seconds_left=20.0))
    progress.checkpoint(1, "one", 10, "0" * 64, {"loss": 3.5, "val_loss": None})
    progress.checkpoint(2, "two", 10, "0" * 64, {"loss": 2.5, "val_loss": 2.75})
    progress.message("a note", level="warn")

    running = jobs.retrieve(made.id)
    assert (running.status, running.trained_tokens) == ("running", None)
    assert running.estimated_finish is not None
    assert abs(running.estimated_finish - time.time() - 20) < 15

    first = jobs.list_events(made.id, limit=2)
    assert [(event.message, event.level, event.type) for event in first.data] == [
        ("a note", "warn", "message"),
        ("checkpoint at step 2", "info", "message"),
    ]
    events = list(first)
    assert len({event.id for event in events}) == len(events) == 7
    [second, one] = [event.data for event in events if event.type == "metrics"]
    assert (second["step"], second["train_loss"], second["valid_loss"]) == (2, 2.5, 2.75)
    assert (one["step"], one["train_loss"], one["valid_loss"]) == (1, 3.5, None)
    assert all(event.object == "fine_tuning.job.event" for event in events)

    page = jobs.checkpoints.list(made.id, limit=1)
    assert page.has_more
    found = list(page)
    assert [each.fine_tuned_model_checkpoint for each in found] == [f"{made.id}@2", f"{made.id}@1"]
    newest = found[0]
    assert (newest.object, newest.fine_tuning_job_id, newest.step_number) == ("fine_tuning.job.checkpoint", made.id, 2)
    assert (newest.metrics.step, newest.metrics.train_loss, newest.metrics.valid_loss) == (2, 2.5, 2.75)
    with pytest.raises(openai.NotFoundError) as told:
        jobs.checkpoints.list(made.id, after=f"{made.id}@3")
    assert refusal(told.value) == (404, "checkpoint_not_found", "after")

    progress.fail("invalid_value", "train.batch_size: too large", "train.batch_size")
    failed = jobs.retrieve(made.id)
    assert (failed.status, failed.trained_tokens, failed.estimated_finish) == ("failed", 200, None)
    assert failed.error is not None
    param = "method.pretrain.hyperparameters.batch_size"
    assert failed.error.model_dump() == {"code": "invalid_value", "message": f"{param}: too large", "param": param}


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"training_file": "file-nowhere"}, "dataset_not_found", "training_file"),
        ({"validation_file": "file-nowhere"}, "dataset_not_found", "validation_file"),
        ({"model": "gpt-9"}, "model_not_found", "model"),
        ({"model": "job_1@3"}, "checkpoint_not_found", "model"),
        ({"method": pretrain(n_epochs=0)}, "invalid_value", "method.pretrain.hyperparameters.n_epochs"),
        ({"method": pretrain(n_epochs="many")}, "invalid_value", "method.pretrain.hyperparameters.n_epochs"),
        ({"method": pretrain(n_epochs=1.5)}, "invalid_value", "method.pretrain.hyperparameters.n_epochs"),
        ({"method": pretrain(batch_size=0)}, "invalid_value", "method.pretrain.hyperparameters.batch_size"),
        ({"method": pretrain(batch_size=True)}, "invalid_value", "method.pretrain.hyperparameters.batch_size"),
        ({"method": pretrain(batch_size=100_000)}, "invalid_value", "method.pretrain.hyperparameters.batch_size"),
        (
            {"method": pretrain(learning_rate_multiplier=0)},
            "invalid_value",
            "method.pretrain.hyperparameters.learning_rate_multiplier",
        ),
        (
            {"method": pretrain(learning_rate_multiplier=1e5)},
            "invalid_value",
            "method.pretrain.hyperparameters.learning_rate_multiplier",
        ),
        ({"method": pretrain(beta=0.1)}, "unknown_field", "method.pretrain.hyperparameters.beta"),
        ({"method": {"type": "reinforcement"}}, "invalid_value", "method.type"),
        ({"method": {"type": "pretrain", "dpo": {}}}, "invalid_value", "method"),
        ({"method": {}}, "missing_field", "method.type"),
        ({"hyperparameters": {"n_epochs": 1}}, "invalid_value", "hyperparameters"),
        ({"suffix": "a" * 65}, "invalid_value", "suffix"),
        ({"suffix": "my model"}, "invalid_value", "suffix"),
        ({"suffix": ""}, "invalid_value", "suffix"),
        ({"seed": -1}, "invalid_value", "seed"),
        ({"seed": 2**63}, "invalid_value", "seed"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "unknown_field", "integrations"),
        ({"metadata": {"k": 1}}, "invalid_value", "metadata.k"),
        ({"metadata": {str(n): "" for n in range(17)}}, "invalid_value", "metadata"),
        ({"metadata": {"k": "a" * 513}}, "invalid_value", "metadata.k"),
        ({"extra_body": {"store": True}}, "unknown_field", "store"),
        ({"training_file": "small-tasks"}, "invalid_value", "training_file"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_done_is_told_by_its_field(site, fields, code, param):
    before = site.native.get("/jobs").json()
    status, *told = refused(site, **fields)
    assert [status in (400, 404), *told] == [True, code, param]
    assert site.native.get("/jobs").json() == before


def test_a_file_for_something_else_is_not_trained_on(site):
    sent = site.openai.files.create(file=("a.txt", b"the tide came in " * 400), purpose="evals")
    for param in ("training_file", "validation_file"):
        assert refused(site, **{param: sent.id}) == (400, "invalid_value", param)


def test_a_file_is_kept_for_a_job_that_waits(site):
    text = site.openai.files.content(STORY).content
    sent = site.openai.files.create(file=("a.txt", text), purpose="fine-tune")
    made = create(site, training_file=sent.id)
    with pytest.raises(openai.ConflictError):
        site.openai.files.delete(sent.id)
    assert site.openai.fine_tuning.jobs.cancel(made.id).status == "cancelled"
    site.openai.files.delete(sent.id)
    assert site.openai.fine_tuning.jobs.retrieve(made.id).training_file == sent.id
    assert refused(site, training_file=sent.id) == (404, "dataset_not_found", "training_file")


def test_a_key_makes_one_job_and_holds_all_that_was_asked(site):
    key = {"extra_headers": {"Idempotency-Key": "k"}}
    made = create(site, suffix="a", metadata={"n": "1"}, seed=1, **key)
    again = create(site, suffix="a", metadata={"n": "1"}, seed=1, **key)
    assert again.id == made.id
    for other in ({"suffix": "b", "metadata": {"n": "1"}}, {"suffix": "a", "metadata": {"n": "2"}}):
        assert refused(site, seed=1, **other, **key) == (409, "idempotency_key_reused", "Idempotency-Key")


def test_a_job_that_is_not_there(site):
    jobs = site.openai.fine_tuning.jobs
    for call in (jobs.retrieve, jobs.cancel, jobs.pause, jobs.resume, jobs.list_events, jobs.checkpoints.list):
        with pytest.raises(openai.NotFoundError) as told:
            call("ftjob-nowhere")
        assert refusal(told.value)[:2] == (404, "job_not_found")


@pytest.mark.parametrize("after", ["12", "ftevent-", "ftevent-x", "ftevent-" + "9" * 30, "job_1"])
def test_what_is_no_events_id_is_refused(site, after):
    made = create(site)
    with pytest.raises(openai.BadRequestError) as told:
        site.openai.fine_tuning.jobs.list_events(made.id, after=after)
    assert refusal(told.value) == (400, "invalid_value", "after")


def test_an_event_of_another_job_is_no_place_in_this_one(site):
    """It was taken for one: what came after it by number was left out."""
    first, second = create(site), create(site)
    jobs = site.openai.fine_tuning.jobs
    (other,) = jobs.list_events(first.id).data
    for after in (other.id, "ftevent-999999"):
        with pytest.raises(openai.BadRequestError) as told:
            jobs.list_events(second.id, after=after)
        assert refusal(told.value) == (400, "invalid_value", "after")
    assert jobs.list_events(first.id, after=other.id).data == []
