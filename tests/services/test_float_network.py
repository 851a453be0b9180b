"""A network that is read when asked for: once for many, kept a while, given back, and never taken from who has it."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

import pytest

from app.errors import DataMissing
from app.services.float_network import FloatNetwork
from tests.fakes import ScriptedModel, eventually


class Place:
    """Reads networks, and remembers which of them live."""

    def __init__(self) -> None:
        self.read_count = self.rooms = 0
        self.living: weakref.WeakSet[ScriptedModel] = weakref.WeakSet()
        self.may_read = threading.Event()
        self.may_read.set()
        self.error: Exception | None = None
        self.network: FloatNetwork | None = None

    def made(self, kept_s: float = 60.0) -> FloatNetwork:
        self.network = FloatNetwork(self._read, self._make_room, kept_s=kept_s)
        return self.network

    def _make_room(self) -> None:
        self.rooms += 1
        self.network.read_back_bytes = 40

    def _read(self) -> ScriptedModel:
        self.read_count += 1
        assert self.may_read.wait(5)
        if self.error is not None:
            raise self.error
        read = ScriptedModel()
        self.living.add(read)
        return read

    @property
    def lives(self) -> int:
        return len(self.living)


@pytest.fixture
def place():
    place = Place()
    yield place
    place.may_read.set()
    if place.network is not None:
        place.network.close()


def use(network: FloatNetwork) -> None:
    with network.lent():
        pass


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_many_at_once_are_given_the_one_that_one_of_them_reads(place: Place) -> None:
    network, got = place.made(), []
    place.may_read.clear()

    def ask() -> None:
        with network.lent() as found:
            got.append(found)

    threads = [in_thread(ask) for _ in range(8)]
    eventually(lambda: network._users == 8)
    assert network.is_lent
    place.may_read.set()
    for thread in threads:
        thread.join()
    assert (len(got), len(set(map(id, got))), place.read_count, place.rooms) == (8, 1, 1, 1)
    assert not network.is_lent


def test_it_is_kept_for_who_comes_soon(place: Place) -> None:
    network = place.made()
    use(network)
    use(network)
    assert (place.read_count, place.lives, network.read_back_bytes) == (1, 1, 40)


def test_it_goes_when_nobody_used_it_for_a_while(place: Place) -> None:
    network = place.made(kept_s=0.05)
    use(network)
    eventually(lambda: place.lives == 0)
    assert (network.read_back_bytes, network._timer) == (0, None)
    use(network)
    assert place.read_count == 2


def test_each_use_has_it_kept_for_the_whole_while_again(place: Place) -> None:
    network = place.made(kept_s=60.0)
    use(network)
    first = network._timer
    network._used_at -= 50  # as if that had been so long ago
    use(network)
    assert network._timer is first  # one at a time, however many uses
    first.cancel()
    network._look()  # what it would have done
    assert place.lives == 1
    assert 50 < network._timer.interval <= 60
    network._timer.cancel()
    network._used_at -= 60
    network._look()
    assert (place.lives, network._timer) == (0, None)


def test_who_has_it_keeps_it_however_long(place: Place) -> None:
    network = place.made(kept_s=0.05)
    use(network)
    with network.lent():
        time.sleep(0.15)
        network.let_go()
        assert (place.lives, network.read_back_bytes) == (1, 40)
    eventually(lambda: place.lives == 0)


def test_it_goes_at_once_where_room_is_needed(place: Place) -> None:
    network = place.made()
    use(network)
    network.let_go()
    assert (place.lives, network.read_back_bytes) == (0, 0)


def test_what_cannot_be_read_is_told_to_each_and_tried_again(place: Place) -> None:
    network = place.made()
    place.error = DataMissing("gone")
    for _ in range(2):
        with pytest.raises(DataMissing, match="gone"), network.lent():
            pass
    assert (place.read_count, network.read_back_bytes, network.is_lent) == (2, 0, False)
    place.error = None
    use(network)
    assert place.lives == 1


def test_closed_while_it_is_read_it_goes_with_its_last_user(place: Place) -> None:
    network, got = place.made(), []
    place.may_read.clear()

    def ask() -> None:
        with network.lent() as found:
            got.append(found.config)

    thread = in_thread(ask)
    eventually(lambda: place.read_count == 1)
    network.close()
    place.may_read.set()
    thread.join()
    assert (len(got), place.lives, network.read_back_bytes) == (1, 0, 0)
    use(network)  # who still holds the model is served
    assert (place.read_count, place.lives) == (2, 0)


def test_one_that_stays_is_never_read_and_never_goes() -> None:
    stays = ScriptedModel()
    network = FloatNetwork(lambda: pytest.fail("read"), lambda: pytest.fail("room"), network=stays, kept_s=0.0)
    use(network)
    network.let_go()
    network.close()
    with network.lent() as found:
        assert found is stays
    assert network._timer is None
