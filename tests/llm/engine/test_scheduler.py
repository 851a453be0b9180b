"""Who runs in a step: order of arrival, the budget, prompts in chunks."""

from __future__ import annotations

import pytest

from app.llm.config import SamplingParams
from app.llm.engine.kv_blocks import KVBlocks
from app.llm.engine.request import Request
from app.llm.engine.scheduler import Scheduler
from app.llm.errors import LLMError


def a_request(name: str, prompt: int, new: int = 1) -> Request:
    return Request(name, tuple(range(prompt)), SamplingParams(max_new_tokens=new))


def a_step(scheduler: Scheduler) -> list[tuple[str, int, bool]]:
    """Schedules, and pretends that the network was passed: (id, tokens, draws)."""
    done = []
    for work in scheduler.schedule():
        done.append((work.running.request.id, len(work.ids), work.draws))
        scheduler.passed(work)
        if work.draws:
            work.running.new_ids.append(0)
    return done


def test_requests_run_in_the_order_they_came_as_far_as_the_budget_goes() -> None:
    scheduler = Scheduler(KVBlocks(24, 1), prefill_chunk=100)
    for name, prompt in (("a", 5), ("b", 5), ("c", 5), ("d", 4), ("e", 5), ("f", 1)):
        scheduler.add(a_request(name, prompt))
    assert [name for name, _, _ in a_step(scheduler)] == ["a", "b", "c", "d"]
    assert scheduler.reserved == 23
    assert list(scheduler.waiting) == ["e", "f"]  # e's 6 do not fit any more, and f does not overtake it
    scheduler.remove("a")
    assert a_step(scheduler) == [("b", 1, True), ("c", 1, True), ("d", 1, True), ("e", 5, True)]
    scheduler.remove("d")
    assert a_step(scheduler)[-1] == ("f", 1, True)
    assert (scheduler.reserved, len(scheduler.waiting)) == (20, 0)


def test_short_requests_pass_a_long_one_that_waits_for_another_long_one() -> None:
    """Two requests of half the budget used to hold all of it: a request for a word waited half an hour."""
    scheduler = Scheduler(KVBlocks(100, 1), prefill_chunk=50)
    for each in (a_request("long-1", 1, 49), a_request("long-2", 1, 49), a_request("short", 1, 24)):
        scheduler.add(each)
    assert a_step(scheduler) == [("long-1", 1, True), ("short", 1, True)]
    scheduler.add(a_request("another", 1, 24))
    assert a_step(scheduler)[2] == ("another", 1, True)
    scheduler.remove("long-1")
    assert a_step(scheduler)[2] == ("long-2", 1, True)
    for name in ("short", "another", "long-2"):
        scheduler.remove(name)
    assert (scheduler.reserved, scheduler.reserved_by_long) == (0, 0)


def test_a_long_request_that_waits_for_short_ones_is_not_passed() -> None:
    scheduler = Scheduler(KVBlocks(100, 1), prefill_chunk=50)
    for each in (a_request("short", 1, 24), a_request("whole", 1, 99), a_request("later", 1, 1)):
        scheduler.add(each)
    assert a_step(scheduler) == [("short", 1, True)]
    scheduler.remove("short")
    assert a_step(scheduler) == [("whole", 1, True)]
    scheduler.remove("whole")
    assert a_step(scheduler) == [("later", 1, True)]


def test_a_long_prompt_is_read_in_chunks_while_the_others_go_on() -> None:
    scheduler = Scheduler(KVBlocks(100, 1), prefill_chunk=4)
    scheduler.add(a_request("short", 2, 9))
    assert a_step(scheduler) == [("short", 2, True)]
    scheduler.add(a_request("long", 10, 9))
    steps = [a_step(scheduler) for _ in range(4)]
    assert [step[0] for step in steps] == [("short", 1, True)] * 4
    assert [step[1] for step in steps] == [("long", 4, False), ("long", 4, False), ("long", 2, True), ("long", 1, True)]


def test_prompts_share_the_tokens_of_a_step_in_the_order_they_came() -> None:
    scheduler = Scheduler(KVBlocks(100, 1), prefill_chunk=4)
    for each in (a_request("a", 3), a_request("b", 3), a_request("c", 1)):
        scheduler.add(each)
    assert a_step(scheduler) == [("a", 3, True)]  # b's chunk would be the seventh token, and c waits for b
    scheduler.remove("a")
    assert a_step(scheduler) == [("b", 3, True), ("c", 1, True)]


def test_chunks_begin_where_they_would_for_a_request_alone() -> None:
    """Pieces of other sizes would give other last bits, and an answer would depend on who else is there."""
    alone = Scheduler(KVBlocks(100, 1), prefill_chunk=4)
    alone.add(a_request("x", 11))
    expected = [tokens for _ in range(3) for _, tokens, _ in a_step(alone)]
    beside = Scheduler(KVBlocks(100, 1), prefill_chunk=4)
    for each in (a_request("a", 6), a_request("x", 11), a_request("b", 5)):
        beside.add(each)
    got = []
    for _ in range(9):
        got += [tokens for name, tokens, _ in a_step(beside) if name == "x"]
    assert got[:3] == expected == [4, 4, 3]


def test_an_id_is_taken_once() -> None:
    scheduler = Scheduler(KVBlocks(10, 1), prefill_chunk=4)
    scheduler.add(a_request("a", 1))
    with pytest.raises(LLMError, match="'a'"):
        scheduler.add(a_request("a", 1))
    scheduler.schedule()
    with pytest.raises(LLMError, match="'a'"):
        scheduler.add(a_request("a", 1))
    scheduler.remove("a")
    scheduler.remove("a")
    scheduler.add(a_request("a", 1))
    assert scheduler.reserved == 0
