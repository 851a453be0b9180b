"""Where the book's numbers are looked for in an answer."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.pages.lessons.book import NOTHING, at

ANSWER = {"rows": 3, "labels": [{"label": "ham", "rows": 2}, {"label": "spam", "rows": 1}], "losses": [[1.5], [2.5]]}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("rows", 3),
        ("labels.1.rows", 1),
        ("labels.2.rows", NOTHING),
        ("labels.*.rows", [2, 1]),
        ("labels.label=spam.rows", 1),
        ("labels.label=lost.rows", NOTHING),
        ("losses.*.0", [1.5, 2.5]),
        ("nowhere.rows", NOTHING),
    ],
)
def test_a_place_in_an_answer(path: str, found: Any) -> None:
    assert at(ANSWER, path) == found
