"""Lists of jobs: in order, in pages, narrowed."""

from __future__ import annotations

import time

from app.db.session import Database
from app.db.tables import job, job_list
from app.db.tables.job_list import Wanted
from tests.jobs_made import queued


def test_pages_go_from_new_to_old(any_database: Database) -> None:
    ids = []
    for _ in range(3):
        ids.append(queued(any_database))
        time.sleep(0.002)
    with any_database.read() as session:
        assert [row.id for row in job_list.newest_first(session, None, 2)] == [ids[2], ids[1]]
        assert [row.id for row in job_list.newest_first(session, ids[1], 2)] == [ids[0]]
        assert {row.id for row in job.live(session)} == set(ids)


def test_a_list_is_narrowed_by_the_model_that_a_job_makes_or_goes_on_from(any_database: Database) -> None:
    made = queued(any_database, name="tide")
    time.sleep(0.002)
    on = queued(any_database, model={"name": "tide"}, status="paused")
    queued(any_database)
    with any_database.read() as session:
        assert [row.id for row in job_list.newest_first(session, None, 9, Wanted(model="tide"))] == [on, made]
        only = Wanted(status=("paused", "failed"), recipes=("pretrain",), model="tide")
        assert [row.id for row in job_list.newest_first(session, None, 9, only)] == [on]


def test_a_list_is_narrowed_by_a_dataset_that_a_job_reads(any_database: Database) -> None:
    mixed = queued(any_database, datasets=[{"dataset": "ds_1", "weight": 1.0}, {"dataset": "ds_2", "weight": 2.0}])
    time.sleep(0.002)
    apart = queued(any_database, validation={"dataset": "ds_2"})
    time.sleep(0.002)
    queued(any_database, datasets=[{"dataset": "ds_22", "weight": 1.0}], name="ds_2")
    with any_database.read() as session:
        assert [row.id for row in job_list.newest_first(session, None, 9, Wanted(dataset="ds_2"))] == [apart, mixed]
        assert [row.id for row in job_list.newest_first(session, None, 1, Wanted(dataset="ds_2"))] == [apart]
        assert job_list.newest_first(session, None, 9, Wanted(dataset="ds_2", metadata={"a": "b"})) == []


def test_a_list_is_narrowed_by_what_clients_have_noted(any_database: Database) -> None:
    odd = """a.b"c'$[0]"""
    noted = [{"team": "tides", "run": "1"}, {"team": "tides", odd: ""}, {}, None]
    ids = []
    for pairs in noted:
        ids.append(queued(any_database, client_metadata=pairs))
        time.sleep(0.002)
    with any_database.read() as session:
        for wanted, found in (
            ({"team": "tides"}, [ids[1], ids[0]]),
            ({"team": "tides", "run": "1"}, [ids[0]]),
            ({odd: ""}, [ids[1]]),
            ({"team": "tide"}, []),
            ({}, [ids[3], ids[2]]),
        ):
            rows = job_list.newest_first(session, None, 9, Wanted(metadata=wanted))
            assert [row.id for row in rows] == found, wanted
        (row,) = job_list.newest_first(session, None, 1, Wanted(metadata={"team": "tides"}))
        assert row.id == ids[1]
