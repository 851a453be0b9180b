"""Two processes and one learn the same, agree where to stop, and go on as if nothing had been: gloo under torchrun."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from app.llm.errors import BadCheckpoint, TrainingStopped
from app.llm.train.ranks import ALONE, Together

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def ranked(processes: int, folder: Path) -> list[dict[str, Any]]:
    """What each process of `tests.llm.train.ranked_run` tells."""
    command = [sys.executable, *TORCHRUN, str(processes), "-m", "tests.llm.train.ranked_run", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return ranked(3, tmp_path_factory.mktemp("three"))


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    [told] = ranked(1, tmp_path_factory.mktemp("one"))
    return told


def test_the_losses_are_those_of_one_process_at_the_same_batch(three, one):
    assert len(one["plain"]) == len(three[0]["plain"]) == 13
    for alone, together in zip(one["plain"], three[0]["plain"], strict=True):
        assert together == pytest.approx(alone, rel=1e-5)  # step, loss, validation loss, gradient's norm, tokens


def test_only_the_first_process_is_heard(three):
    assert [len(told["plain"]) for told in three] == [13, 0, 0]
    assert [told["asked"] > 0 for told in three] == [True, False, False]


def test_all_end_with_the_same_weights(three):
    assert len({told["weights"] for told in three}) == 1


def test_a_stop_that_the_first_process_hears_of_ends_all_at_one_step(three):
    assert [told["stopped"] for told in three] == ["paused"] * 3
    assert len({told["stopped_at"] for told in three}) == 1


def test_a_run_that_went_on_is_the_run_that_was_never_stopped_bit_for_bit(three):
    """With dropout, whose generators differ by process, and more processes than a sum has an only order for."""
    assert {told["resumed"] for told in three} == {three[0]["unbroken"]}
    assert len({told["generator"] for told in three}) == 3


def test_an_error_of_the_first_process_releases_the_others(three):
    assert [told["failed"] for told in three] == ["ValueError", "lost", "lost"]


def test_alone_what_is_led_is_simply_done():
    assert ALONE.led(lambda: 2.5) == 2.5
    with pytest.raises(TrainingStopped, match="paused"):
        ALONE.led(stop)


def stop() -> None:
    raise TrainingStopped("paused")


def test_a_checkpoint_of_fewer_processes_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 1)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    ranks = Together()
    state = torch.zeros(1)
    assert ranks.own({"cpu": state, "cpu.1": state + 1})["cpu"] == 1
    for states in ({"cpu": state}, {"cpu": state, "cpu.1": state, "cpu.2": state}):
        with pytest.raises(BadCheckpoint, match="not of a run of 2 processes"):
            ranks.own(states)
