"""Parts of a file: all of it once where it is short, evenly spread and whole words where it is long."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest

from app.services.text_sample import parts, spread, texts


@pytest.mark.parametrize("alphabet", ["ab \n", "日本", "é à", "x", " "])
def test_a_short_file_is_covered_once_and_no_character_is_cut(tmp_path: Path, alphabet: str) -> None:
    text = "".join(random.Random(1).choices(alphabet, k=20_000))
    file = tmp_path / "text"
    file.write_text(text, encoding="utf-8", newline="")
    places = parts(file, 1 << 20, block_bytes=5_000)
    assert "".join(texts(file, places)) == text
    assert sorted(spread(places)) == places


def test_parts_of_a_long_file_are_spread_and_end_with_words(tmp_path: Path) -> None:
    words = [f"word{n}" for n in range(100_000)]
    file = tmp_path / "text"
    file.write_text(" ".join(words))
    places = parts(file, 100_000, block_bytes=10_000)
    assert 80_000 <= sum(end - start for start, end in places) <= 120_000
    gaps = [after[0] - before[0] for before, after in pairwise(places)]
    assert max(gaps) < 1.4 * min(gaps)
    known = set(words)
    for text in texts(file, places):
        assert set(text.split()) <= known


def test_every_beginning_of_the_order_is_spread(tmp_path: Path) -> None:
    places = [(n, n + 1) for n in range(256)]
    first = sorted(start for start, _ in spread(places)[:16])
    assert max(after - before for before, after in pairwise([0, *first, 256])) < 48
