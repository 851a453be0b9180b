"""Training jobs: asked for, and looked at. All that can be refused is refused before a row is written."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.base import db_now, new_id
from app.db.owned import owner_of_new
from app.db.tables import checkpoint, event, job_list, metric, model, tokenizer
from app.db.tables import job as rows
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.event import EventRow
from app.db.tables.job import JobRow
from app.db.tables.job_list import EVERY, Wanted
from app.db.tables.metric import MetricRow
from app.errors import CheckpointNotFound, InvalidRequest, JobNotFound, ModelNotFound, NameTaken
from app.llm.tokenizer.word import WordTokenizer
from app.schemas.job import JobCreate
from app.services import (
    adapting,
    evaluation_checks,
    idempotency,
    job_checks,
    job_fit,
    job_needs,
    job_validation,
    quotas,
    tokenizer_making,
    tracing,
    train_presets,
    webhooks,
)
from app.services.idempotency import Key
from app.services.job_checks import Plan
from app.services.progress import add_status
from app.services.runtime import Runtime
from app.services.storage import MAX_NAME_CHARACTERS, NAME, check_name
from app.services.thinning import thinned
from app.services.tokenizer_making import Made

Hold = Callable[[Session], None]
"""Keeps there what a new job needs beside its texts and model, in the transaction that writes it."""
WRITING = ("pretrain", "instruct", "dpo")
"""Recipes whose models continue a text."""
DRAWN_SEEDS = 2**31  # a number that every client can hold


@dataclass(frozen=True)
class Created:
    """The job that a request stands for."""

    row: JobRow
    is_new: bool  # False: an earlier request of the same key made it


@dataclass(frozen=True)
class Beside:
    """What a client says of a job beside what is to be done."""

    suffix: str | None = None  # of the name that is made up
    metadata: dict[str, str] | None = None  # kept for the client

    @property
    def given(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}


NOTHING = Beside()


def create(runtime: Runtime, body: JobCreate, idempotency_key: str | None = None, beside: Beside = NOTHING) -> Created:
    """Record a job that is queued, or whose large texts are read first; the workers hear of it once it is committed.

    Args:
        idempotency_key: as long as a job made with it is there, the same request gives that job again.

    Raises:
        IdempotencyKeyReused: the key came with another body.
        AppError: what is wrong with it, before anything is written.
    """
    key = None if idempotency_key is None else idempotency.read(idempotency_key, body, beside.given)
    if key is None:
        return Created(_create(runtime, body, None, beside), is_new=True)
    earlier = _earlier(runtime, key)
    if earlier is not None:  # first of all: the name it asks for is that job's by now
        return Created(earlier, is_new=False)
    try:
        return Created(_create(runtime, body, key, beside), is_new=True)
    except NameTaken:
        earlier = _earlier(runtime, key)  # the same request, sent twice at once: this one came second
        if earlier is None:
            raise
        return Created(earlier, is_new=False)


def _earlier(runtime: Runtime, key: Key) -> JobRow | None:
    with runtime.database.read() as session:
        return idempotency.earlier(session, key)


def _create(runtime: Runtime, body: JobCreate, key: Key | None, beside: Beside) -> JobRow:
    job_id = new_id("job")
    if body.webhook is not None:
        webhooks.check(runtime.settings, body.webhook)
    if body.recipe == evaluation_checks.RECIPE:
        row, hold = _evaluation(runtime, body, job_id)
    else:
        row, hold = _training(runtime, body, job_id, beside.suffix)
    row.client_metadata, row.traceparent = beside.metadata, tracing.traceparent()
    if key is not None:
        row.idempotency_key, row.request_sha256 = key.text, key.request_sha256
    try:
        with runtime.database.write() as session:
            _add(session, runtime, row)
            session.flush()
            hold(session)
            if row.status == "queued":
                row.nudged_at = db_now()
                add_status(session, row, "queued")
                runtime.nudger.after_commit(session, row.id)
            else:
                add_status(session, row, "its texts are read before it is queued")
    except IntegrityError as error:  # somebody was faster, with the name or with the key
        raise name_taken(row.name) from error
    return row


def _training(runtime: Runtime, body: JobCreate, job_id: str, suffix: str | None) -> tuple[JobRow, Hold]:
    body = train_presets.filled(body)
    with runtime.database.read() as session:
        plan = job_checks.plan(session, runtime, body)
        name = _name(plan, body, job_id, suffix)
        check_free(session, runtime, name)
    plan = job_checks.with_tokenizer(runtime.storage, plan)
    plan = job_checks.with_data(runtime.storage, plan)  # reads and encodes: no transaction waits for it
    job_fit.check(runtime, plan, body.device)
    row = _row(job_id, name, plan, body)
    row.status = job_validation.status_of(runtime, plan)
    return row, lambda session: _hold_tokenizer(session, runtime, plan)


def _evaluation(runtime: Runtime, body: JobCreate, job_id: str) -> tuple[JobRow, Hold]:
    row = evaluation_checks.row_of(runtime, body, job_id)
    return row, lambda session: job_needs.hold_tokenizer(session, row.tokenizer)


def read(session: Session, job_id: str, param: str | None = None) -> JobRow:
    """One job; `param` is the field of the request that named it.

    Raises:
        JobNotFound: there is none of that id.
    """
    row = rows.get(session, job_id) if NAME.fullmatch(job_id) else None
    if row is None:
        told = f"{param}: " if param else ""
        raise JobNotFound(f"{told}there is no job {job_id[:200]!r}; GET /jobs lists them", param=param)
    return row


def page(session: Session, after: str | None, limit: int, wanted: Wanted = EVERY) -> tuple[list[JobRow], bool]:
    """Up to `limit` of the jobs wanted, newest first, those behind the one with id `after`, and whether more follow.

    Raises:
        JobNotFound: `after` names none.
    """
    last = None if after is None else read(session, after, param="after").id
    found = job_list.newest_first(session, last, limit + 1, wanted)
    return found[:limit], len(found) > limit


def metrics(session: Session, job_id: str, after_step: int, limit: int) -> tuple[list[MetricRow], bool]:
    """Up to `limit` measured steps above `after_step`, and whether more follow.

    Raises:
        JobNotFound: there is no such job.
    """
    found = metric.of_job(session, read(session, job_id).id, after_step, limit + 1)
    return found[:limit], len(found) > limit


def curve(session: Session, job_id: str, after_step: int, points: int) -> list[MetricRow]:
    """At most `points` of the measured steps above `after_step`, so chosen that their curve looks like that of all.

    Raises:
        JobNotFound: there is no such job.
    """
    chosen = thinned(metric.losses(session, read(session, job_id).id, after_step), points)
    return metric.of_steps(session, job_id, [point.step for point in chosen])


def newest_events(session: Session, job_id: str, before_id: int | None, limit: int) -> tuple[list[EventRow], bool]:
    """Up to `limit` events before the one with `before_id` (None: the last ones), newest first; whether more follow.

    Raises:
        JobNotFound: there is no such job.
        InvalidRequest: the event with `before_id` is none of it.
    """
    job = read(session, job_id)
    if before_id is not None and not event.is_of_job(session, job.id, before_id):
        raise InvalidRequest(f"after: {job.id} has no such event", param="after")
    found = event.newest_of_job(session, job.id, before_id, limit + 1)
    return found[:limit], len(found) > limit


def events(
    session: Session, job_id: str, after_id: int, limit: int, types: Sequence[str] = ()
) -> tuple[list[EventRow], bool]:
    """Up to `limit` events after the one with `after_id`, of some types or all, oldest first; whether more follow.

    Raises:
        JobNotFound: there is no such job.
    """
    found = event.of_job(session, read(session, job_id).id, after_id, limit + 1, types)
    return found[:limit], len(found) > limit


def checkpoints(session: Session, job_id: str) -> list[CheckpointRow]:
    """The complete checkpoints that are kept, newest first.

    Raises:
        JobNotFound: there is no such job.
    """
    return checkpoint.of_job(session, read(session, job_id).id)


def newest_checkpoints(session: Session, limit: int) -> list[tuple[CheckpointRow, str]]:
    """Up to `limit` checkpoints of models that write, of all jobs, newest first, each with its job's name."""
    return job_list.newest_checkpoints(session, WRITING, limit)


def checkpoint_page(session: Session, job_id: str, after: str | None, limit: int) -> tuple[list[CheckpointRow], bool]:
    """Up to `limit` of `checkpoints`, those behind the one with the id `after`, and whether more follow.

    Raises:
        JobNotFound: there is no such job.
        CheckpointNotFound: `after` names none of it.
    """
    found = checkpoints(session, job_id)
    if after is not None:
        place = next((place for place, row in enumerate(found) if row.id == after), None)
        if place is None:
            told = f"after: {job_id} has no checkpoint {after[:200]!r} any more"
            raise CheckpointNotFound(told, param="after")
        found = found[place + 1 :]
    return found[:limit], len(found) > limit


def last_metrics(session: Session, found: Sequence[JobRow]) -> dict[str, MetricRow]:
    """By the id of each of these jobs that has measured a step, what it measured last."""
    return metric.last_of_jobs(session, [row.id for row in found])


def kept_bytes(session: Session, found: Sequence[JobRow]) -> dict[str, int]:
    """By the id of each of these jobs, the bytes of all checkpoints that it keeps."""
    sizes = checkpoint.bytes_by_job(session, [row.id for row in found])
    return {row.id: sizes.get(row.id, 0) for row in found}


def _add(session: Session, runtime: Runtime, row: JobRow) -> None:
    """Write the row, if what it needs is still there; the locks keep it there until the commit."""
    quotas.check_jobs(session, runtime)
    quotas.check_stored(session, runtime)
    job_needs.hold(session, row)
    check_free(session, runtime, row.name)
    row.owner = owner_of_new(session)
    session.add(row)


def _hold_tokenizer(session: Session, runtime: Runtime, plan: Plan) -> None:
    """Keep the tokenizer there until the commit; register one made along, unless another job was faster."""
    name, made = plan.asked.tokenizer_name, plan.tokenizer
    if plan.asked.makes_tokenizer and not tokenizer.is_taken(session, name):
        assert isinstance(made, WordTokenizer), "no other kind is made along"
        source = plan.shares[0].dataset
        made_along = Made.of(made, source.size_bytes)
        kept = tokenizer_making.register(session, runtime.storage, name, made_along, source.id)
        kept.owner = source.owner  # whoever else makes a job of the text finds it there
    else:
        job_needs.hold_tokenizer(session, name)


def _name(plan: Plan, body: JobCreate, job_id: str, suffix: str | None) -> str:
    """The name asked for, or the one made up of what it starts from and the end of the job's id."""
    if plan.asked.train.lora is not None and body.recipe in adapting.RECIPES:
        return adapting.name_of(plan.asked.model["name"], body.name, job_id, suffix)
    return _made_up(plan.asked.called, suffix, job_id) if body.name is None else check_name(body.name)


def _made_up(called: str, suffix: str | None, job_id: str) -> str:
    """A name of at most 96 characters that no other job has: what it starts from, the suffix, the end of its id."""
    end = f"-{suffix}-{job_id[-6:]}" if suffix else f"-{job_id[-6:]}"
    return called[: MAX_NAME_CHARACTERS - len(end)] + end


def check_free(session: Session, runtime: Runtime, name: str) -> None:
    """Pass a name that a job may give its model.

    Raises:
        NameTaken: a model has it, or an unfinished job will give it, whosever they are.
    """
    try:
        runtime.catalogue.info(session, name)
    except ModelNotFound:
        if not model.is_taken(session, name) and rows.live_with_name(session, name) is None:
            return
    else:
        made = model.get(session, name)
        if made is not None and made.job_id is not None:  # its own, where a job is to be tried again
            told = f"{made.job_id} has left a model {name!r}; delete that first, or ask for a job of another name"
            raise NameTaken(f"name: {told}", param="name")
    raise name_taken(name)


def name_taken(name: str) -> NameTaken:
    return NameTaken(f"name: a model or an unfinished job is called {name!r} already", param="name")


def _kept_back(plan: Plan) -> dict[str, Any]:
    """What is not learnt from, as a job's row keeps it."""
    kept: dict[str, Any] = plan.validation.named if plan.validation else {"fraction": plan.fraction}
    return kept if plan.rows is None else kept | {"test": plan.asked.test}


def _row(job_id: str, name: str, plan: Plan, body: JobCreate) -> JobRow:
    shares = [share.named | {"weight": share.weight} for share in plan.shares]
    return JobRow(
        id=job_id,
        recipe=body.recipe,
        name=name,
        datasets=shares,
        model=plan.asked.model,
        tokenizer=plan.asked.tokenizer_name,
        columns=dict(plan.asked.columns or {}),
        validation=_kept_back(plan),
        train=asdict(plan.asked.train),
        device=body.device,
        devices=body.devices,
        priority=body.priority,
        seed=secrets.randbelow(DRAWN_SEEDS) if body.seed is None else body.seed,
        total_steps=plan.asked.train.max_steps,
        webhook_url=None if body.webhook is None else body.webhook.url,
        webhook_secret=None if body.webhook is None else body.webhook.secret,
    )
