"""PyTorch's threads, of one thread of the process and of the others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

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
