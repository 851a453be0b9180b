"""Ids of which some are learnt, and what is left of long ones."""

from __future__ import annotations

import pytest

from app.llm.data.taught import TaughtIds, TaughtPair, shortened
from app.llm.errors import BadField

ROW = TaughtIds([1, 2, 3, 4, 5], [False, False, True, True, False], 2, line=7)


def test_lengths_are_what_the_network_reads():
    assert len(ROW) == 4
    assert len(TaughtPair(ROW, TaughtIds([1, 2], [False, True], 1))) == 4
    assert ROW.answer_ids == [3, 4]


def test_a_long_row_is_cut_at_its_end():
    assert shortened(ROW, 4) is ROW
    short = shortened(ROW, 2)
    assert (short.ids, short.learnt, len(short)) == ([1, 2, 3], [False, False, True], 2)


def test_a_row_of_which_no_answer_is_left_is_told_by_its_line():
    with pytest.raises(BadField, match="line 7: the prompt has 2 tokens, of 1 that are read"):
        shortened(ROW, 1)
