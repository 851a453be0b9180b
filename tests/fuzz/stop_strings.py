"""Stop strings: the text ends where it does by definition, however it comes in pieces."""

from __future__ import annotations

from app.llm.tokenizer.stream import StopStrings

LONGEST = 96


def check(content: bytes) -> None:
    """Stop strings, then the pieces of a text, each before a 0xFF; a 0xFE is between the two."""
    stops, _, pieces = content.partition(b"\xfe")
    wanted = [stop for each in stops.split(b"\xff") if (stop := each.decode(errors="ignore"))]
    pushes = [each.decode(errors="ignore") for each in pieces.split(b"\xff")]
    assert by_push(wanted, pushes) == by_character(wanted, "".join(pushes))


def by_push(stops: list[str], pushes: list[str]) -> tuple[str, bool]:
    watch = StopStrings(stops)
    shown, met = "", False
    for text in pushes:
        certain, met = watch.push(text)
        shown += certain
        if met:
            break
    return shown + watch.flush(), met


def by_character(stops: list[str], text: str) -> tuple[str, bool]:
    """By definition: the first moment at which some stop string is complete."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)], True
    return text, False
