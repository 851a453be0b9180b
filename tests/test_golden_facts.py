"""Each of the book's facts that this machine can check is named by a test."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.golden_facts import ELSEWHERE, FACTS

TESTS = {
    str(path.relative_to(Path(__file__).parent)): path.read_text()
    for path in Path(__file__).parent.rglob("test_*.py")
    if path != Path(__file__)
}
TOGETHER = {"llm/tokenizer/test_bpe.py": ".bpe.case"}
"""Tests that take all facts whose ids hold a part, and that part, as it stands in their source."""


def is_named(fact: str) -> bool:
    whole = re.compile(rf"""["']{re.escape(fact)}["']""")  # ch04.params is not named by ch04.params.bias
    together = any(part in fact and f'"{part}"' in TESTS[path] for path, part in TOGETHER.items())
    return together or any(whole.search(text) for text in TESTS.values())


@pytest.mark.parametrize("fact", FACTS.here())
def test_the_fact_is_named_by_a_test(fact: str) -> None:
    assert is_named(fact)


def test_a_fact_that_nobody_checks_is_noticed() -> None:
    assert not is_named("ch04.params.par")  # the beginning of one that is named
    assert not is_named("ch" + "00.nothing")


def test_what_needs_something_from_elsewhere_is_a_fact() -> None:
    assert set(ELSEWHERE) <= set(FACTS)
