"""Inputs and targets of dialogues."""

from __future__ import annotations

from app.llm.data.examples import IGNORED
from app.llm.data.taught import TaughtIds
from app.llm.data.taught_batches import join_taught

ROW = TaughtIds([1, 2, 3, 4, 5], [False, False, True, True, False], 2)


def test_targets_are_the_learnt_ids_one_place_on():
    inputs, targets = join_taught([ROW, TaughtIds([6, 7], [False, True], 1)], pad_id=0)
    assert inputs.tolist() == [[1, 2, 3, 4], [6, 0, 0, 0]]
    assert targets.tolist() == [[IGNORED, 3, 4, IGNORED], [7, IGNORED, IGNORED, IGNORED]]
