"""A text in paragraphs: lines up to a blank one, each with the number of its first line. Bounded in length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

LONGEST_PARAGRAPH = 1 << 16


class Paragraph(NamedTuple):
    line: int  # its first, from 1
    text: str


def paragraphs(lines: Iterable[str], longest: int = LONGEST_PARAGRAPH) -> Iterator[Paragraph]:
    """The paragraphs of a text; one of more than about `longest` characters comes in several.

    Args:
        lines: with their ends; parts of lines, too.
    """
    held: list[str] = []
    size, begun, number = 0, 1, 1
    for line in lines:
        is_blank = line.isspace()
        if held and (is_blank or size + len(line) > longest):
            yield Paragraph(begun, "".join(held))
            held, size = [], 0
        if not is_blank:
            begun = begun if held else number
            held.append(line)
            size += len(line)
        number += line.endswith("\n")
    if held:
        yield Paragraph(begun, "".join(held))
