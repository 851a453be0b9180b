"""PyTorch's threads, of one thread of the process and of the others."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from app.llm.engine.torch_threads import one_for_this_thread


def test_this_thread_computes_alone_and_others_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ThreadPoolExecutor(1) as known, ThreadPoolExecutor(1) as single:
            assert known.submit(torch.get_num_threads).result() == 3
            single.submit(one_for_this_thread).result()
            assert single.submit(torch.get_num_threads).result() == 1
            assert single.submit(lambda: torch.randn(200, 200) @ torch.randn(200, 200)).result().shape == (200, 200)
            assert single.submit(torch.get_num_threads).result() == 1
            assert known.submit(torch.get_num_threads).result() == 3
            later: list[int] = []
            thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
            thread.start()
            thread.join()
            assert later == [3]
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_two_at_once_leave_the_others_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    before, set_number, is_one = torch.get_num_threads(), torch.set_num_threads, threading.Event()

    def slowly(count: int) -> None:
        set_number(count)
        if count == 1:
            is_one.set()
            time.sleep(0.1)

    torch.set_num_threads(3)
    monkeypatch.setattr(torch, "set_num_threads", slowly)
    try:
        with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second, ThreadPoolExecutor(1) as later:
            one = first.submit(one_for_this_thread)
            assert is_one.wait(5)
            second.submit(one_for_this_thread).result()
            one.result()
            assert [each.submit(torch.get_num_threads).result() for each in (first, second, later)] == [1, 1, 3]
    finally:
        set_number(before)
