"""The book's numbers by id, and which of them the tests of this run looked up.

`FACTS["ch02.vocab.size"]` has `inputs`, `expected`, `kind`, `tolerance`, `rng`, `requires`.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "golden"


class Facts(Mapping[str, dict[str, Any]]):
    def __init__(self) -> None:
        files = sorted(FOLDER.glob("*.json"))
        self._facts = {fact["id"]: fact for file in files for fact in json.loads(file.read_text())["facts"]}
        self.asked_by: defaultdict[str, set[str]] = defaultdict(set)
        """Ids of the tests that looked a fact up, by the fact's id."""

    def __getitem__(self, fact_id: str) -> dict[str, Any]:
        test = os.environ.get("PYTEST_CURRENT_TEST")  # "tests/x/test_y.py::test_z (call)"
        if test is not None:
            self.asked_by[fact_id].add(test.rpartition(" (")[0])
        return self._facts[fact_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def here(self) -> list[str]:
        """Ids of the facts that need neither weights that are not here, nor a certain machine, nor a judge."""
        return [fact_id for fact_id, fact in self._facts.items() if not _needs_elsewhere(fact)]


FACTS = Facts()


def _needs_elsewhere(fact: dict[str, Any]) -> bool:
    needs = " ".join(fact["requires"])
    return "weights" in needs or needs.endswith(" judge") or fact["tolerance"] == "hardware" or fact["id"] in ELSEWHERE


ELSEWHERE = {
    "ch05.gpt2.files": "sizes of files on OpenAI's server",
    "ch05.train.mps": "a trace of Apple's accelerator",
    "ch06.ablations": "19 fine-tunings of the released GPT-2 on an A100",
    "bonus.gutenberg": "a day of training on a corpus that is not here",
    "bonus.imdb": "fine-tuned models of other makers",
}
"""Facts whose `requires` does not say it, and what they need."""
