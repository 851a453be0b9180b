"""A job's end told to an address: signed, once or more, whatever dies, and to whom it must not go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from app.config import Settings
from app.db.session import Database
from app.db.tables import event, webhook
from app.db.tables import job as jobs
from app.db.tables.job import Ending
from app.db.tables.webhook import WebhookRow
from app.errors import InvalidRequest
from app.schemas.job import WebhookSpec
from app.services import job_control, job_removal, leases
from app.services.addresses import BadAddress, Unreachable
from app.services.progress import Progress, add_status
from app.services.runtime import Runtime
from app.services.webhooks import AGAIN_AFTER_S, Deliveries, check, sign
from tests.jobs_made import queued

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
URL = "https://hooks.example/inkling"


@dataclass
class Receiver:
    """Answers with what stands in `answers`, then with 200."""

    answers: list[int | Exception] = field(default_factory=list)
    seen: list[tuple[str, bytes, dict[str, str], bool]] = field(default_factory=list)

    def __call__(self, url: str, body: bytes, headers: dict[str, str], *, private: bool) -> int:
        self.seen.append((url, body, headers, private))
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def deliveries(settings: Settings, any_database: Database, receiver: Receiver) -> Deliveries:
    return Deliveries(settings, any_database, receiver, clock=lambda: 1_700_000_000.5)


def ended(database: Database, status: str = "succeeded", **fields: object) -> str:
    """A job with a webhook that has just ended."""
    job_id = queued(database, **{"webhook_url": URL, "webhook_secret": SECRET} | fields)
    with database.write() as session:
        row = jobs.lock(session, job_id)
        assert row is not None
        jobs.finish(row, Ending(status, model="a-model" if status == "succeeded" else None))
        add_status(session, row, status)
    return job_id


def outbox(database: Database) -> list[WebhookRow]:
    with database.read() as session:
        return list(session.query(WebhookRow))


def make_due(database: Database) -> None:
    with database.write() as session:
        for row in session.query(WebhookRow):
            row.due_at = 0.0


def told(database: Database, job_id: str) -> list[tuple[str, str]]:
    with database.read() as session:
        rows = event.of_job(session, job_id, 0, 100)
    return [(row.level, row.message) for row in rows if row.type == "message"]


def test_the_signature_is_the_standards() -> None:
    """The example of Standard Webhooks' own libraries."""
    secret, message_id = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek"
    expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert sign(secret, message_id, 1614265330, b'{"test": 2432232314}') == expected


def test_an_end_is_told_once_and_signed(deliveries, receiver, any_database) -> None:
    job_id = ended(any_database)
    (message,) = outbox(any_database)
    assert deliveries.deliver_one()
    assert not deliveries.deliver_one()
    ((url, body, headers, private),) = receiver.seen
    assert (url, private) == (URL, False)
    content = json.loads(body)
    assert (content["id"], content["type"]) == (message.id, "job.succeeded")
    assert isinstance(content["created_at"], int)
    assert content["data"]["id"] == job_id
    assert content["data"]["result"] == {"model": "a-model", "checkpoint": None}
    assert SECRET not in body.decode()
    signed = f"{message.id}.1700000000.".encode() + body
    signature = base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    assert headers == {
        "webhook-id": message.id, "webhook-timestamp": "1700000000", "webhook-signature": f"v1,{signature}",
    }  # fmt: skip
    assert outbox(any_database) == []
    assert told(any_database, job_id) == [("info", "webhook delivered, attempt 1")]


def test_without_a_secret_nothing_is_signed(deliveries, receiver, any_database) -> None:
    ended(any_database, "cancelled", webhook_secret=None)
    deliveries.deliver_one()
    assert set(receiver.seen[0][2]) == {"webhook-id", "webhook-timestamp"}
    assert json.loads(receiver.seen[0][1])["type"] == "job.cancelled"


def test_a_job_without_a_webhook_tells_nobody(any_database) -> None:
    ended(any_database, webhook_url=None, webhook_secret=None)
    assert outbox(any_database) == []


def test_what_is_refused_comes_again_later_under_the_same_id(deliveries, receiver, any_database) -> None:
    receiver.answers = [500, Unreachable("no answer within 15 s"), 302]
    job_id = ended(any_database)
    for _ in range(4):
        assert deliveries.deliver_one()
        assert not deliveries.deliver_one()  # not due yet
        make_due(any_database)
    assert len({headers["webhook-id"] for _, _, headers, _ in receiver.seen}) == 1
    assert len({body for _, body, _, _ in receiver.seen}) == 1
    assert told(any_database, job_id) == [
        ("warn", "webhook not delivered, again in 5 s: it answered 500"),
        ("warn", "webhook not delivered, again in 30 s: no answer within 15 s"),
        ("warn", "webhook not delivered, again in 120 s: it answered 302"),
        ("info", "webhook delivered, attempt 4"),
    ]


@pytest.mark.parametrize(("answers", "attempts"), [([410], 1), ([503] * 99, len(AGAIN_AFTER_S) + 1)])
def test_at_last_it_is_given_up(answers, attempts, deliveries, receiver, any_database) -> None:
    receiver.answers = list(answers)
    job_id = ended(any_database)
    while outbox(any_database):
        make_due(any_database)
        deliveries.deliver_one()
    assert len(receiver.seen) == attempts
    level, message = told(any_database, job_id)[-1]
    assert (level, message.startswith(f"webhook given up, attempt {attempts}: ")) == ("error", True)


def test_a_name_that_leads_inside_by_now_is_not_called(deliveries, receiver, any_database) -> None:
    receiver.answers = [BadAddress("'hooks.example' leads to 10.0.0.1, which is no public address")]
    job_id = ended(any_database)
    deliveries.deliver_one()
    assert "no public address" in told(any_database, job_id)[0][1]
    assert len(outbox(any_database)) == 1


def test_a_deliverer_that_dies_is_replaced(deliveries, receiver, any_database) -> None:
    """It may have been received: at least once."""
    job_id = ended(any_database)
    with any_database.write() as session:
        assert webhook.take_due(session, 60) is not None  # and nothing more
    assert not deliveries.deliver_one()
    make_due(any_database)
    assert deliveries.deliver_one()
    assert told(any_database, job_id) == [("info", "webhook delivered, attempt 2")]


def test_a_late_deliverer_does_not_settle_anothers_attempt(settings, any_database) -> None:
    job_id = ended(any_database)

    def slow(url: str, body: bytes, headers: dict[str, str], *, private: bool) -> int:
        make_due(any_database)
        with any_database.write() as session:
            assert webhook.take_due(session, 60) is not None
        return 200

    assert Deliveries(settings, any_database, slow).deliver_one()
    assert len(outbox(any_database)) == 1
    assert told(any_database, job_id) == []


@pytest.fixture
def runtime(settings: Settings, any_database: Database) -> Iterator[Runtime]:
    url = any_database.url.render_as_string(hide_password=False)
    made = Runtime.open(settings.model_copy(update={"database_url": url}))
    yield made
    made.close()


def test_each_way_to_end_is_told(any_database, runtime) -> None:
    """Cancelled while it waits, failed by its trainer, given up by the sweep; pausing is no end."""
    first = queued(any_database, webhook_url=URL)
    with any_database.write() as session:
        job_control.pause(session, first)
    assert outbox(any_database) == []
    with any_database.write() as session:
        job_control.cancel(session, runtime, first)
    second = queued(any_database, webhook_url=URL)
    held = leases.claim(any_database, "w", 30)
    assert held is not None
    Progress(any_database, held.job_id, held.fence).fail("out_of_memory", "too much", "train.batch_size")
    third = queued(any_database, webhook_url=URL)
    held = leases.claim(any_database, "w", 30)
    assert held is not None
    leases.give_up(any_database, held, 1, leases.Loss("killed", "it was killed"))
    types = {row.job_id: json.loads(row.body) for row in outbox(any_database)}
    assert {job_id: body["type"] for job_id, body in types.items()} == {
        first: "job.cancelled", second: "job.failed", third: "job.failed",
    }  # fmt: skip
    assert types[second]["data"]["error"]["param"] == "train.batch_size"


def test_an_end_that_is_rolled_back_is_not_told(any_database) -> None:
    job_id = queued(any_database, webhook_url=URL)

    def end_and_fall() -> None:
        with any_database.write() as session:
            row = jobs.lock(session, job_id)
            assert row is not None
            jobs.finish(row, Ending("cancelled"))
            add_status(session, row, "cancelled")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        end_and_fall()
    assert outbox(any_database) == []


def test_the_end_of_a_job_that_was_deleted_is_told_all_the_same(deliveries, receiver, any_database, runtime) -> None:
    job_id = ended(any_database)
    with any_database.write() as session:
        job_removal.delete(session, runtime, job_id)
    assert deliveries.deliver_one()
    assert len(receiver.seen) == 1
    assert outbox(any_database) == []


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "hunter2", "whsec_" + "a" * 8, "whsec_!!!", SECRET.removeprefix("whsec_"), "whsec_" + "A" * 120],
)
def test_other_secrets_are_refused(secret: str, settings: Settings) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check(settings, WebhookSpec(url="http://127.0.0.1/", secret=secret))
    assert refused.value.param == "webhook.secret"
    assert secret == "" or secret not in refused.value.message or secret == "whsec_"


def test_private_addresses_are_refused_unless_allowed(settings: Settings) -> None:
    spec = WebhookSpec(url="http://127.0.0.1:9/", secret=SECRET)
    with pytest.raises(InvalidRequest) as refused:
        check(settings, spec)
    assert refused.value.param == "webhook.url"
    check(settings.model_copy(update={"webhook_private_addresses": True}), spec)
