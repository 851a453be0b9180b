"""A judge's marks and comparisons: every question and reply kept, whatever the judge does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from app.services import judges
from tests.evaluated import TASKS, House, answering, house_on, settings_in


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with pytest.MonkeyPatch.context() as patch, house_on(settings_in(tmp_path_factory.mktemp("house"))) as made:
        patch.setattr(judges, "AGAIN_AFTER_S", (0.01, 0.02))
        yield made


@pytest.fixture(scope="module")
def tasks(house: House) -> str:
    return house.add_rows(TASKS)


def judged_by(url: str, **fields: object) -> dict[str, object]:
    judge = {"model": "marker", "url": url} | {
        name: fields.pop(name) for name in ("api_key", "timeout_s") if name in fields
    }
    return {"kind": "judge", "max_new_tokens": 4, "judge": judge} | fields


def test_marks_are_read_and_every_question_and_reply_is_kept(house: House, tasks: str) -> None:
    with answering(lambda prompt: "Score: 80" if "Mira" in prompt else "40") as (server, url):
        job_id = house.done(judged_by(url, against=["two"], api_key="sk-secret"), dataset=tasks)
    first, second = house.report(job_id)
    assert (first["model"], second["model"]) == ("one", "two")
    for each in (first, second):
        assert each["score"] == pytest.approx((40 + 80 + 40) / 3)
        assert (each["scored"], each["unparsable"], each["judge_failed"], each["failed"]) == (3, 0, 0, 0)
    rows = house.results(job_id)
    asked = [body["messages"][0]["content"] for _, _, body in server.seen]
    for row in rows:
        for model in row["models"]:
            (said,) = model["judgements"]
            assert said["prompt"] in asked
            assert row["reference"] in said["prompt"]
            assert said["reply"] in ("Score: 80", "40")
            assert said["score"] == model["score"]
    path, headers, body = server.seen[0]
    assert (path, headers["authorization"]) == ("/v1/chat/completions", "Bearer sk-secret")
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("marker", 0, 16)
    shown = house.client.get(f"/jobs/{job_id}").text + house.client.get(f"/jobs/{job_id}/events").text
    assert "sk-secret" not in shown


def test_prose_is_counted_and_not_dropped(house: House, tasks: str) -> None:
    with answering(lambda prompt: "I rather like it: 90 points." if "Mira" in prompt else "70") as (_, url):
        job_id = house.done(judged_by(url), dataset=tasks)
    (told,) = house.report(job_id)
    assert (told["score"], told["scored"], told["unparsable"], told["judge_failed"]) == (70.0, 2, 1, 0)
    replies = [row["models"][0]["judgements"][0]["reply"] for row in house.results(job_id)]
    assert "I rather like it: 90 points." in replies


@pytest.mark.parametrize(
    ("said", "told", "attempts"),
    [(500, "it answered 500", 3), (401, "it answered 401", 1), (b"<html>", "no chat completion: <html>", 1)],
    ids=["server-error", "unauthorised", "no-json"],
)
def test_a_judge_that_fails_is_recorded_and_survived(
    house: House, tasks: str, said: int | bytes, told: str, attempts: int
) -> None:
    with answering(lambda prompt: said if "Mira" in prompt else "70") as (server, url):
        job_id = house.done(judged_by(url), dataset=tasks)
    (report,) = house.report(job_id)
    assert (report["scored"], report["unparsable"], report["judge_failed"]) == (2, 0, 1)
    failed = [row["models"][0]["judgements"][0] for row in house.results(job_id) if row["models"][0]["score"] is None]
    assert [(told in each["error"], each["attempts"]) for each in failed] == [(True, attempts)]
    assert len(server.seen) == 2 + attempts


def test_a_server_that_comes_back_is_asked_again(house: House, tasks: str) -> None:
    said = iter([500, 503, "60", "60", "60"])
    with answering(lambda prompt: next(said)) as (_, url):
        job_id = house.done(judged_by(url), dataset=tasks)
    assert house.report(job_id)[0]["scored"] == 3
    assert [row["models"][0]["judgements"][0]["attempts"] for row in house.results(job_id)] == [3, 1, 1]


def test_a_judge_that_takes_too_long_is_recorded_and_survived(house: House, tasks: str) -> None:
    def reply(prompt: str) -> str:
        if "Mira" in prompt:
            time.sleep(0.6)
        return "70"

    with answering(reply) as (_, url):
        job_id = house.done(judged_by(url, timeout_s=0.2), dataset=tasks)
    (report,) = house.report(job_id)
    assert (report["scored"], report["judge_failed"]) == (2, 1)
    errors = [row["models"][0]["judgements"][0]["error"] for row in house.results(job_id)]
    assert "no answer within 0.2 s" in errors


def test_a_server_that_is_not_there_is_recorded_and_survived(house: House, tasks: str) -> None:
    with answering(lambda prompt: "1") as (_, url):
        pass
    job_id = house.done(judged_by(url), dataset=tasks)
    assert house.report(job_id)[0]["judge_failed"] == 3


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        (lambda prompt: "1", "disagreed"),  # the place, not the answer
        (lambda prompt: "tie", "tie"),
        (lambda prompt: "both are fine", "unparsable"),
        (lambda prompt: 500, "failed"),
    ],
    ids=["first-place", "tie", "prose", "error"],
)
def test_a_comparison_counts_where_both_orders_agree(house: House, tasks: str, reply: object, verdict: str) -> None:
    with answering(reply) as (_, url):  # type: ignore[arg-type]
        job_id = house.done(judged_by(url, against=["two"], pairwise=True), dataset=tasks)
    first, second = house.report(job_id)
    assert first["verdicts"] == second["verdicts"]
    assert first["verdicts"] == dict.fromkeys(("win", "loss", "tie", "disagreed", "unparsable", "failed"), 0) | {
        verdict: 3
    }
    for row in house.results(job_id):
        assert row["models"][0]["verdict"] == verdict
        assert [each["first"] for each in row["models"][0]["judgements"]] == ["one", "two"]


def test_a_preference_in_both_orders_is_a_win(house: House, tasks: str) -> None:
    probe = house.done({"kind": "answers", "max_new_tokens": 4, "against": ["two"]}, dataset=tasks)
    ours = {row["models"][0]["answer"] for row in house.results(probe)}
    theirs = {row["models"][1]["answer"] for row in house.results(probe)}
    assert not ours & theirs

    def reply(prompt: str) -> str:
        shown = prompt.partition("Answer 1:\n")[2].partition("\n\nAnswer 2:")[0]
        return "1" if shown in ours else "2"

    with answering(reply) as (_, url):
        job_id = house.done(judged_by(url, against=["two"], pairwise=True), dataset=tasks)
    first, second = house.report(job_id)
    assert (first["verdicts"]["win"], second["verdicts"]["loss"]) == (3, 3)
    assert (first["against"], second["against"]) == ("two", "one")


def test_a_model_here_judges_too_and_its_prose_is_kept(house: House, tasks: str) -> None:
    job_id = house.done(
        {"kind": "judge", "max_new_tokens": 4, "judge": {"model": "two", "max_new_tokens": 3}}, dataset=tasks
    )
    (report,) = house.report(job_id)
    judgements = [row["models"][0]["judgements"][0] for row in house.results(job_id)]
    unreadable = [each for each in judgements if each["reply"] is not None and each["score"] is None]
    too_long = [each for each in judgements if each["reply"] is None]
    assert report["unparsable"] == len(unreadable)
    assert report["judge_failed"] == len(too_long)
    assert all("context" in each["error"] for each in too_long)


def judged(house: House, job_id: str) -> int:
    """Rows of which a reply is recorded."""
    return sum(bool(row["models"][0]["judgements"]) for row in house.results(job_id))


def test_a_judge_that_is_silent_does_not_keep_a_job_from_ending(house: House, tasks: str) -> None:
    """It was waited for until its time was over; only then it was seen that the job was to be paused."""
    speaks, asked_at = threading.Event(), []

    def reply(prompt: str) -> str:
        if "tide" in prompt:
            asked_at.append(time.monotonic())
            speaks.wait(30)
        return "50"

    with answering(reply) as (server, url):
        job_id = house.queued(judged_by(url, timeout_s=30), dataset=tasks)
        stopped = house.run(lambda: "shutdown" if asked_at else None)
        waited_s = time.monotonic() - asked_at[0]
        speaks.set()
        assert (stopped.status, judged(house, job_id)) == ("queued", 2)
        assert waited_s < 10
        assert house.run().status == "succeeded"
    assert [len(asked_at), len(server.seen)] == [2, 4]  # the question that was left was asked again, and no other
    assert house.report(job_id)[0]["scored"] == 3


def test_what_was_judged_is_not_judged_again(house: House, tasks: str) -> None:
    with answering(lambda prompt: "50") as (server, url):
        job_id = house.queued(judged_by(url), dataset=tasks)
        stopped = house.run(lambda: "shutdown" if judged(house, job_id) == 2 else None)
        assert stopped.status == "queued"
        assert house.run().status == "succeeded"
    assert len(server.seen) == 3
    assert house.report(job_id)[0]["scored"] == 3
