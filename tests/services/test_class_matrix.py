"""A classifier's matrix read from the report of its training: with a threshold of one's own, and the rows of a cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.db.session import Database
from app.errors import ReportNotFound
from app.llm.class_report import STEPS
from app.services.class_matrix import Asked, CellRow, matrix
from tests.jobs_made import a_model

WRONG = {"line": 7, "text": "Win a prize", "label": "spam", "told": "ham", "probability": 0.2}


def by_probability(*rows: dict[float, int]) -> list[list[int]]:
    """How many rows of each class got which probability of being spam."""
    return [[row.get(step / STEPS, 0) for step in range(STEPS + 1)] for row in rows]


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """Five rows that are ham, three that are spam, one of which is told as ham at a half."""
    report: dict[str, Any] = {
        "classes": [{"name": "ham"}, {"name": "spam"}],
        "confusion": [[4, 1], [1, 2]],
        "by_probability": by_probability({0.0: 3, 0.4: 1, 0.6: 1}, {0.2: 1, 0.9: 2}),
        "threshold": 0.5,
        "worst": [WRONG],
    }
    with database.write() as opened:
        three = {
            "classes": [{"name": name} for name in "abc"],
            "confusion": [[1, 0, 0]] * 3,
            "threshold": None,
            "worst": [],
        }
        opened.add_all([a_model("filter", report=report), a_model("three", report=three), a_model("silent")])
        opened.flush()
        yield opened


def test_as_it_was_told(session: Session) -> None:
    found = matrix(session, "filter", Asked())
    assert (found.confusion, found.threshold, found.may_move) == ([[4, 1], [1, 2]], 0.5, True)
    assert (found.accuracy, found.rows) == (6 / 8, 8)


@pytest.mark.parametrize(
    ("threshold", "confusion"),
    [(0.1, [[3, 2], [0, 3]]), (0.5, [[4, 1], [1, 2]]), (0.7, [[5, 0], [1, 2]]), (1.0, [[5, 0], [3, 0]])],
)
def test_another_threshold_moves_rows_between_columns(
    session: Session, threshold: float, confusion: list[list[int]]
) -> None:
    found = matrix(session, "filter", Asked(threshold=threshold))
    assert (found.confusion, found.threshold) == (confusion, threshold)
    assert found.accuracy == (confusion[0][0] + confusion[1][1]) / 8
    assert [score.rows for score in found.scores] == [5, 3]


def test_three_classes_have_no_threshold(session: Session) -> None:
    found = matrix(session, "three", Asked(threshold=0.9))
    assert (found.may_move, found.threshold, found.asked.threshold) == (False, None, None)
    assert found.confusion == [[1, 0, 0]] * 3


def test_rows_of_a_cell(session: Session) -> None:
    assert matrix(session, "filter", Asked(cell=(1, 0))).found == [CellRow(7, "Win a prize", 0.8)]
    assert matrix(session, "filter", Asked(cell=(0, 1))).found == []
    beside = matrix(session, "filter", Asked(cell=(2, 0)))  # there are two classes
    assert (beside.found, beside.asked.cell) == ([], None)


def test_no_report_no_matrix(session: Session) -> None:
    with pytest.raises(ReportNotFound, match="has no report"):
        matrix(session, "silent", Asked())
