"""How many threads PyTorch's own operators take, thread by thread of this process."""

from __future__ import annotations

import threading

import torch

_ONE_AT_A_TIME = threading.Lock()


def one_for_this_thread() -> None:
    """From now on operators that this thread calls compute in it alone; for other threads nothing changes.

    Between two steps of our kernels stand a few small operators. Each one that is shared out leaves a thread of OpenMP
    behind that waits in a busy loop, for milliseconds, on a core that the kernels' own threads want: of two cores, that
    took half the speed (docs/performance.md).
    """
    with _ONE_AT_A_TIME:  # else a second thread would find the first one's number, and leave it to all
        before = torch.get_num_threads()
        torch.set_num_threads(1)  # of this thread, and of those that have not called an operator yet
        torch.get_num_threads()  # now this thread has its number, and does not look for it again
        restoring = threading.Thread(target=torch.set_num_threads, args=(before,))
        restoring.start()
        restoring.join()
