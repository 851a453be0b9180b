"""How much there is of each thing, and for how long jobs have been able to run."""

from __future__ import annotations

from app.db.base import db_now
from app.db.session import Database
from app.db.tables import stock
from app.db.tables.stock import Stock
from tests.jobs_made import a_dataset, a_job, a_model


def test_jobs_by_state(any_database: Database) -> None:
    with any_database.write() as session:
        assert stock.jobs_by_status(session) == {}
        for number, status in enumerate(("queued", "queued", "failed")):
            a_job(session, id=f"job_{number}", name=f"name-{number}", status=status)
        assert stock.jobs_by_status(session) == {"queued": 2, "failed": 1}


def test_the_oldest_that_may_run_says_how_long_jobs_wait(any_database: Database) -> None:
    with any_database.write() as session:
        assert stock.longest_wait_s(session) == 0
        a_job(session, id="job_0", name="over", status="succeeded", created_at=db_now() - 900)
        a_job(session, id="job_1", name="later", status="queued", created_at=db_now() - 800, not_before=db_now() + 60)
        assert stock.longest_wait_s(session) == 0
        a_job(session, id="job_2", name="put-off", status="queued", created_at=db_now() - 800, not_before=db_now() - 50)
        assert 50 <= stock.longest_wait_s(session) < 110
        a_job(session, id="job_3", name="old", status="queued", created_at=db_now() - 300)
        assert 300 <= stock.longest_wait_s(session) < 360


def test_what_is_kept(any_database: Database) -> None:
    with any_database.write() as session:
        assert set(stock.kept(session).values()) == {Stock(0, 0)}
        a_dataset(session, "ds_1", size_bytes=5)
        a_dataset(session, "ds_2", size_bytes=7)
        session.add(a_model("one", size_bytes=3_000_000_000))
        session.flush()
        assert stock.kept(session) == {
            "datasets": Stock(2, 12),
            "models": Stock(1, 3_000_000_000),
            "checkpoints": Stock(0, 0),
        }
