"""What reads strangers' bytes, under attack: the inputs that are kept, any bytes, and fuzzers for a while.

`make proof-fuzz` gives each ten minutes, writes docs/proofs.md, and keeps what reached code that nothing had reached.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import campaign
from tests.proofs import Proof, table

FULL = os.environ.get("INKLING_TEST_FUZZ") == "full"  # set by `make proof-fuzz`
SECONDS = 600 if FULL else 8
AT_ONCE = 4 if FULL else 2
SEED = 0 if FULL else 1  # a short run tries the same each time: what is new is looked for by the long one


@pytest.mark.parametrize("name", campaign.NAMES)
def test_inputs_that_are_kept_break_nothing(name: str) -> None:
    target = import_module(f"tests.fuzz.{name}")
    inputs = campaign.kept(name)
    assert inputs
    for content in inputs:
        target.check(content)


@pytest.mark.parametrize("name", campaign.NAMES)
def test_any_bytes_and_any_change_break_nothing(name: str) -> None:
    target = import_module(f"tests.fuzz.{name}")
    inputs = st.sampled_from(campaign.kept(name))

    def changed(content: bytes, at: int, size: int, new: bytes) -> bytes:
        at %= len(content) + 1
        return (content[:at] + new + content[at + size :])[: target.LONGEST]

    changes = st.builds(changed, inputs, st.integers(0, 1 << 14), st.integers(0, 8), st.binary(max_size=8))

    @settings(max_examples=150, deadline=None)
    @given(st.binary(max_size=target.LONGEST) | changes)
    def check(content: bytes) -> None:
        target.check(content)

    check()


def test_every_target_has_inputs() -> None:
    targets = [path for path in (campaign.CORPUS.parent).glob("*.py") if "\ndef check(content" in path.read_text()]
    assert sorted(path.stem for path in targets) == campaign.NAMES


@pytest.mark.timeout(300 if not FULL else 8000)
def test_fuzzers_find_nothing(tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="needs `make proof-tools`")
    proof = Proof()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(
            pool.map(lambda name: campaign.fuzz(name, SECONDS, tmp_path / name, merge=FULL, seed=SEED), campaign.NAMES)
        )
    assert not any(each.status for each in outcomes), [(each.name, each.log) for each in outcomes if each.status]
    least = 10 * SECONDS if FULL else 1  # how many a few seconds have room for is the machine's affair
    assert all(each.inputs >= least and 0 < each.peak_mb < campaign.MEMORY_MB for each in outcomes)
    if FULL:
        for each in outcomes:
            campaign.keep(each.name, each.corpus)
        record(proof, outcomes)


def record(proof: Proof, outcomes: list[campaign.Outcome]) -> None:
    what = (
        f"`make proof-fuzz`: atheris on what reads strangers' bytes, {SECONDS // 60} minutes each, {AT_ONCE} at once. "
        f"Bounds: {campaign.MEMORY_MB} MB of memory with all that was imported, {campaign.INPUT_S} s for an input. "
        "Nothing came out but the refusals that are meant, and what each target states of its parser held."
    )
    rows = [(each.name, f"{each.inputs:,}", each.slowest_s, each.peak_mb) for each in outcomes]
    proof.record("fuzz", what, table(("target (`tests/fuzz/`)", "inputs", "slowest, s", "memory, MB"), rows))
