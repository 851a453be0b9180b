"""Two answers to an instruction, one preferred to the other, for DPO (the book's bonus to chapter 7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor

from app.llm.data.examples import IGNORED, checked_text, pad
from app.llm.data.instructions import (
    PROMPT_STYLES,
    Instruction,
    PromptedIds,
    PromptStyle,
    instruction_of,
    numbered_objects,
)
from app.llm.tokenizer.base import Tokenizer


@dataclass(frozen=True, slots=True)
class Preference:
    task: Instruction
    chosen: str
    rejected: str


@dataclass(frozen=True, slots=True)
class PreferenceIds:
    """The task with each answer as ids; of both the same first ones belong to the task."""

    chosen: PromptedIds
    rejected: PromptedIds


@dataclass(frozen=True, slots=True)
class PreferenceBatch:
    """Inputs and targets of both answers, (B, T) each, int64, with one T; targets outside an answer are `IGNORED`."""

    chosen: tuple[Tensor, Tensor]
    rejected: tuple[Tensor, Tensor]


def read_preferences(rows: object) -> list[Preference]:
    """Entries of a JSON list: instructions with `chosen` and `rejected`.

    Raises:
        BadExample: an entry is no such object, or one of its texts is empty.
    """
    return [
        Preference(
            instruction_of(row, number),
            checked_text(row.get("chosen"), "chosen", number),
            checked_text(row.get("rejected"), "rejected", number),
        )
        for number, row in numbered_objects(rows)
    ]


def encode_preferences(
    entries: Iterable[Preference], tokenizer: Tokenizer, style: PromptStyle = PROMPT_STYLES["alpaca"]
) -> list[PreferenceIds]:
    found = []
    for entry in entries:
        prompt_length = len(tokenizer.encode(style.prompt(entry.task)))
        answers = (tokenizer.encode(style.answered(entry.task, text)) for text in (entry.chosen, entry.rejected))
        found.append(PreferenceIds(*(PromptedIds(ids, prompt_length) for ids in answers)))
    return found


def join_preferences(
    rows: Sequence[PreferenceIds], pad_id: int, max_length: int | None = None, *, mask_prompt: bool = True
) -> PreferenceBatch:
    """Both answers of each row, padded to the longest of all of them.

    As in the book, no end of text is learnt, and the two line ends before the mark of the answer are left out with the
    prompt.

    Args:
        max_length: the most tokens an answer keeps with its task; of a longer one the end is cut off.
    """
    length = max(len(answer.ids) for row in rows for answer in (row.chosen, row.rejected))
    if max_length is not None:
        length = min(length, max_length)
    return PreferenceBatch(
        _join([row.chosen for row in rows], length, pad_id, mask_prompt),
        _join([row.rejected for row in rows], length, pad_id, mask_prompt),
    )


LINE_ENDS_BEFORE_ANSWER = 2
"""Tokens between the prompt and the mark of its answer, in the Alpaca style."""


def _join(rows: Sequence[PromptedIds], length: int, pad_id: int, mask_prompt: bool) -> tuple[Tensor, Tensor]:
    targets = pad([row.ids[1:] for row in rows], length, IGNORED)
    if mask_prompt:
        for target, row in zip(targets, rows, strict=True):
            target[: row.prompt_length + LINE_ENDS_BEFORE_ANSWER - 1] = IGNORED
    return pad([row.ids for row in rows], length, pad_id), targets
