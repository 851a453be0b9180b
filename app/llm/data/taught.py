"""Dialogues as ids of which some are learnt. Knows no text, and no torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress

from app.llm.errors import BadField


@dataclass(frozen=True, slots=True)
class TaughtIds:
    """A dialogue as ids, and which of them are learnt; the first `prompt_length` come before the first answer."""

    ids: list[int]
    learnt: list[bool]
    prompt_length: int
    line: int = 0

    def __len__(self) -> int:
        """Tokens that the network reads: the last one is only predicted."""
        return len(self.ids) - 1

    @property
    def answer_ids(self) -> list[int]:
        """Those that are learnt."""
        return list(compress(self.ids, self.learnt))


@dataclass(frozen=True, slots=True)
class TaughtPair:
    """A prompt with each answer."""

    chosen: TaughtIds
    rejected: TaughtIds

    def __len__(self) -> int:
        """Of the longer one."""
        return max(len(self.chosen), len(self.rejected))


def shortened(row: TaughtIds, most: int) -> TaughtIds:
    """The row, of which the network reads at most `most` tokens: what is more is cut off at the end.

    Raises:
        BadField: nothing of what is left is learnt.
    """
    kept = (
        row if len(row) <= most else TaughtIds(row.ids[: most + 1], row.learnt[: most + 1], row.prompt_length, row.line)
    )
    if not any(kept.learnt[1:]):
        told = f"the prompt has {row.prompt_length:,} tokens, of {most:,} that are read: no answer is left to learn"
        raise BadField(row.line, "", told)
    return kept
