"""Processes that divide a network learn what one learns, hold parts alone, and write whole checkpoints: gloo, FSDP2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.llm.train.test_ranks import ROOT, TORCHRUN

EXACT = ("gpt", "llama", "lora")  # float32, and nothing by chance
LORA_BYTES = 4 * 2 * (4 * (16 + 48) + 4 * (16 + 16) + 4 * (16 + 64) * 2)


class Ran:
    """What the processes of `tests.llm.train.sharded_run` told, and the first one's checkpoints."""

    def __init__(self, kind: str, processes: int, folder: Path, kept: Path | None = None) -> None:
        command = [sys.executable, *TORCHRUN, str(processes), "-m", "tests.llm.train.sharded_run", kind, str(folder)]
        command += [] if kept is None else [str(kept)]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
        assert ended.returncode == 0, ended.stderr[-3000:]
        self.told: list[dict[str, Any]] = [json.loads((folder / f"{n}.json").read_text()) for n in range(processes)]
        self.folder = folder

    def reports(self, name: str) -> list[list[float]]:
        found: list[list[float]] = self.told[0][name]["reports"]
        return found

    def saved(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = torch.load(self.folder / f"{name}.pt", weights_only=False)
        return found


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran("alone", 1, tmp_path_factory.mktemp("one"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran("whole", 2, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran("sharded", 2, tmp_path_factory.mktemp("sharded"))


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Among whom 16 rows are not divided evenly."""
    return Ran("sharded", 3, tmp_path_factory.mktemp("three"))


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("many", ["sharded", "three"])
def test_the_losses_are_those_of_one_process_at_the_same_batch(one, name, many, request):
    """Step, loss, validation loss, gradient's norm, tokens; with batches that add up, and a clipped gradient."""
    alone, together = one.reports(name), request.getfixturevalue(many).reports(name)
    assert len(alone) == len(together) == 11
    for ours, theirs in zip(together, alone, strict=True):
        assert ours == pytest.approx(theirs, rel=2e-5)
    assert alone[1][3] > 0 if name == "lora" else max(report[3] for report in alone) > 0.4


def test_bfloat16_products_are_those_of_one_process_as_nearly_as_they_are_exact(one, sharded):
    for ours, theirs in zip(sharded.reports("bfloat16"), one.reports("bfloat16"), strict=True):
        assert ours[1] == pytest.approx(theirs[1], rel=5e-3)
        assert ours[2] == pytest.approx(theirs[2], rel=5e-3)
    assert sharded.reports("bfloat16")[1][1] != sharded.reports("gpt")[1][1]


def test_only_the_first_process_is_heard_and_it_samples_what_one_would(one, sharded):
    assert sharded.told[0]["gpt"]["samples"] == one.told[0]["gpt"]["samples"] != []
    assert [len(told["gpt"]["reports"]) for told in sharded.told] == [11, 0]


@pytest.mark.parametrize("name", ["gpt", "llama"])
@pytest.mark.parametrize("what", ["weight_bytes", "gradient_bytes", "optimizer_bytes"])
def test_each_process_holds_its_part(one, whole, sharded, three, name, what):
    """A third of 16 rows is 6 at most, and FSDP's gradients lie in buffers with that many rows for each process."""
    all_of_it = one.told[0][name][what]
    assert [told[name][what] for told in whole.told] == [all_of_it] * 2
    assert [told[name][what] for told in sharded.told] == [pytest.approx(all_of_it / 2, rel=0.05)] * 2
    parts = [told[name][what] for told in three.told]
    assert max(parts) <= all_of_it * 0.4


def test_of_frozen_weights_each_holds_a_part_and_no_state(one, sharded):
    for told in sharded.told:
        assert told["lora"]["weight_bytes"] == pytest.approx(one.told[0]["lora"]["weight_bytes"] / 2, rel=0.05)
        assert told["lora"]["optimizer_bytes"] == one.told[0]["lora"]["optimizer_bytes"] / 2
    learning = one.saved("lora")["state"].optimizer
    assert {name.split(".")[-2] for name in learning} == {"lora_a", "lora_b"}


@pytest.mark.parametrize("name", EXACT)
def test_a_checkpoint_holds_what_it_would_hold_without_shards(whole, sharded, name):
    ours, theirs = sharded.saved(name), whole.saved(name)
    assert list(ours["weights"]) == list(theirs["weights"])
    for key, weight in theirs["weights"].items():
        torch.testing.assert_close(ours["weights"][key], weight, rtol=1e-3, atol=1e-4)
    assert list(ours["state"].optimizer) == list(theirs["state"].optimizer)
    for key, tensor in theirs["state"].optimizer.items():
        assert type(ours["state"].optimizer[key]) is torch.Tensor
        torch.testing.assert_close(ours["state"].optimizer[key], tensor, rtol=1e-3, atol=1e-5)
    assert ours["state"].rng.keys() == theirs["state"].rng.keys()


@pytest.mark.parametrize("name", ["gpt", "llama", "dropout", "lora", "bfloat16"])
def test_a_run_that_went_on_is_the_run_that_was_never_stopped_bit_for_bit(sharded, tmp_path_factory, name):
    again = resumed("sharded", 2, sharded, tmp_path_factory)
    assert [told[f"{name} stopped"]["stopped"] for told in sharded.told] == ["paused"] * 2
    assert again.told[0][name]["digest"] == sharded.told[0][name]["digest"]
    assert again.told[0][name]["optimizer"] == sharded.told[0][name]["optimizer"]
    assert again.told[0][name]["optimizer_bytes"] == sharded.told[0][name]["optimizer_bytes"]


@pytest.mark.parametrize(("kind", "processes"), [("alone", 1), ("whole", 2)])
def test_what_was_sharded_goes_on_without_shards(one, sharded, tmp_path_factory, kind, processes):
    again = resumed(kind, processes, sharded, tmp_path_factory)
    for name in EXACT:
        assert again.reports(name)[0][0] == 6
        for ours, theirs in zip(again.reports(name), one.reports(name)[6:], strict=True):
            assert ours == pytest.approx(theirs, rel=5e-5)


def test_what_was_whole_goes_on_in_shards(one, whole, tmp_path_factory):
    again = resumed("sharded", 2, whole, tmp_path_factory)
    for name in EXACT:
        for ours, theirs in zip(again.reports(name), one.reports(name)[6:], strict=True):
            assert ours == pytest.approx(theirs, rel=5e-5)


def test_a_gradient_that_is_no_number_is_told_alike(one, sharded):
    assert one.told[0]["diverged"] == sharded.told[0]["diverged"] == sharded.told[1]["diverged"]


def test_an_error_of_the_first_process_releases_the_others(sharded):
    assert [told["failed"] for told in sharded.told] == ["ValueError", "lost"]


KNOWN: dict[tuple[str, int, Path], Ran] = {}


def resumed(kind: str, processes: int, kept: Ran, folders: pytest.TempPathFactory) -> Ran:
    """Runs that go on from the checkpoints of stopped ones; made once."""
    key = (kind, processes, kept.folder)
    if key not in KNOWN:
        KNOWN[key] = Ran(kind, processes, folders.mktemp("resumed"), kept.folder)
    return KNOWN[key]
