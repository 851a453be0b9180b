"""Which checkpoints stay."""

from __future__ import annotations

import pytest

from app.db.tables.checkpoint import CheckpointRow
from app.services.retention import best, kept


def rows_of(losses: dict[int, float | None]) -> list[CheckpointRow]:
    return [CheckpointRow(id=str(step), step=step, metrics={"val_loss": loss}) for step, loss in losses.items()]


@pytest.mark.parametrize(
    ("losses", "keep", "wanted"),
    [
        ({2: 1.0, 4: 0.5, 6: 0.9, 8: 0.8}, 2, {4, 6, 8}),
        ({2: 1.0, 4: 0.9}, 2, {2, 4}),
        ({2: None, 4: None, 6: None}, 1, {6}),
        ({2: 0.5, 4: 0.5}, 1, {4}),
        ({}, 3, set()),
    ],
)
def test_the_newest_and_the_best_stay(losses, keep, wanted):
    assert kept(rows_of(losses), keep) == {str(step) for step in wanted}


def test_the_best_goes_where_it_is_not_to_stay():
    assert kept(rows_of({2: 0.5, 4: 0.7, 6: 0.9}), 2, keep_best=False) == {"4", "6"}


def test_the_best_is_the_newest_of_the_lowest():
    assert best(rows_of({2: 0.5, 4: 0.5, 6: None, 8: 0.6})).step == 4
    assert best(rows_of({2: None})) is None
