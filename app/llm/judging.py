"""A judge's prompts, and what its replies say: marks from 0 to 100 (after chapter 7), or which of two is better.

A reply counts only where it says one thing plainly; whatever else it says is for people to read. Knows no model.
"""

from __future__ import annotations

import re
from typing import Literal

Preference = Literal["first", "second", "tie"]
Verdict = Literal["win", "loss", "tie", "disagreed"]

_MARK = re.compile(r"[^\w-]*(?:(?:score|mark|rating)[^\w-]+)?(\d{1,3})(?:\s*(?:/|out of)\s*100)?\W*", re.IGNORECASE)
_CHOICE = re.compile(r"\W*(?:answer\W+)?(1|2|tie)\W*", re.IGNORECASE)
_CHOICES: dict[str, Preference] = {"1": "first", "2": "second", "tie": "tie"}
_IN_ORDER: dict[Preference, Verdict] = {"first": "win", "second": "loss", "tie": "tie"}
_SWAPPED: dict[Preference, Verdict] = {"first": "loss", "second": "win", "tie": "tie"}


def mark_prompt(question: str, reference: str, answer: str) -> str:
    """Ask for a mark for an answer, measured by the one that is known to be right."""
    return (
        "You mark answers. Compare the answer below with the reference, which is right.\n\n"
        f"Task:\n{question}\n\nReference:\n{reference}\n\nAnswer to mark:\n{answer}\n\n"
        "Give a whole number from 0 (wrong or beside the point) to 100 (as good as the reference). "
        "Reply with the number alone."
    )


def choice_prompt(question: str, reference: str, first: str, second: str) -> str:
    """Ask which of two answers is better."""
    return (
        "You compare two answers to one task. The reference shows what a right answer says.\n\n"
        f"Task:\n{question}\n\nReference:\n{reference}\n\nAnswer 1:\n{first}\n\nAnswer 2:\n{second}\n\n"
        "Which answer is better? Reply with 1, with 2, or with tie if neither is, and nothing else."
    )


def read_mark(reply: str) -> int | None:
    """The mark that a reply gives on its first line, as "85", "Score: 85" or "85/100"; None where it is another."""
    found = _MARK.fullmatch(_first_line(reply))
    return int(found[1]) if found and int(found[1]) <= 100 else None


def read_choice(reply: str) -> Preference | None:
    """What a reply prefers on its first line, as "1", "Answer 2" or "Tie"; None where it says something else."""
    found = _CHOICE.fullmatch(_first_line(reply))
    return _CHOICES[found[1].lower()] if found else None


def verdict(in_order: Preference, swapped: Preference) -> Verdict:
    """What two judgements say of the answer that stood first in the one and second in the other.

    A judge may favour a place: its preference counts only where it is the same in both orders.
    """
    ours = _IN_ORDER[in_order]
    return ours if ours == _SWAPPED[swapped] else "disagreed"


def _first_line(reply: str) -> str:
    return next((line.strip() for line in reply.splitlines() if line.strip()), "")
