"""One at a time, in the order of asking."""

import threading
import time

from app.services.gate import ComputeGate
from tests.fakes import eventually


def test_only_one_is_inside():
    gate, inside, most = ComputeGate(), [], []

    def work() -> None:
        for _ in range(50):
            with gate:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 200


def test_whoever_loops_lets_the_others_in():
    """A plain lock would be taken again by the thread that has just let go."""
    gate, order, stop = ComputeGate(), [], threading.Event()

    def loop() -> None:
        while not stop.is_set():
            with gate:
                order.append("loop")
                time.sleep(0.002)

    thread = threading.Thread(target=loop)
    thread.start()
    eventually(lambda: len(order) > 2)
    for _ in range(10):
        with gate:
            order.append("guest")
    stop.set()
    thread.join()
    first = order.index("guest")
    assert order[first : first + 5] == ["guest", "loop", "guest", "loop", "guest"]


def test_an_error_inside_lets_go():
    gate = ComputeGate()
    for _ in range(2):
        try:
            with gate:
                raise KeyError
        except KeyError:
            pass
    with gate:
        pass
