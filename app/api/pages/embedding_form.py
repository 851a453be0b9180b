"""The form of the page of vectors: its fields, and the request that they make. Knows nothing of HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.schemas.embeddings import AnalogyIn, EmbeddingsIn

DEFAULTS = {
    "show": "text",
    "text": "king queen Paris London Monday seven",
    "ids": "",
    "dataset": "the-tide-clock",
    "count": "200",
    "a": "man",
    "b": "king",
    "c": "woman",
    "bare": "",
    "neighbours": "8",
    "axes": "2",
}
"""By name; the model's is a setting's."""
MOST_COMPARED = 256  # rows, of those that a list can show neighbours of


@dataclass(frozen=True)
class Show:
    """What the page can look at."""

    name: str
    label: str
    about: str


SHOWS = (
    Show("text", "A text", "The tokens of a text: their vectors, and what lies nearest to each."),
    Show("frequent", "Frequent tokens", "The tokens that a dataset has most of, as a map."),
    Show("analogy", "An analogy", "Directions added and taken away: as man is to king, so is woman to which?"),
    Show("positions", "Positions", "The vectors that tell a network where a token stands."),
)


def filled(defaults: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """What stands in the fields; an unknown thing to show is the first one."""
    fields = {name: given.get(name, default) for name, default in defaults.items()}
    if fields["show"] not in {show.name for show in SHOWS}:
        fields["show"] = SHOWS[0].name
    return fields


def rows_of(fields: Mapping[str, str], positions: int | None) -> EmbeddingsIn:
    """The request for rows and their neighbours; `positions` is how many of those the model has.

    Raises:
        ValidationError: a field cannot be what it is.
    """
    body: dict[str, Any] = {"model": fields["model"], "neighbours": _number(fields["neighbours"]), "vectors": False}
    match fields["show"]:
        case "frequent":
            body["frequent"] = {"dataset": fields["dataset"], "count": _number(fields["count"])}
        case "positions":
            body |= {"table": "positions", "ids": list(range(min(positions or 1, MOST_COMPARED)))}
        case _ if fields["ids"]:
            body["ids"] = [_number(part) for part in fields["ids"].split(",")]
        case _:
            body["text"] = _word(fields, "text")
    return EmbeddingsIn.model_validate(body)


def analogy_of(fields: Mapping[str, str]) -> AnalogyIn:
    """The request for what is to `c` as `b` is to `a`.

    Raises:
        ValidationError: a field cannot be what it is.
    """
    terms = {"plus": [_word(fields, "b"), _word(fields, "c")], "minus": [_word(fields, "a")]}
    return AnalogyIn.model_validate(terms | {"model": fields["model"], "neighbours": _number(fields["neighbours"])})


def _word(fields: Mapping[str, str], name: str) -> str:
    """As it stands inside a text, with a space before it, unless it is to be taken bare."""
    written = fields[name]
    return written if fields["bare"] or not written or written[0].isspace() else f" {written}"


def _number(written: str) -> int | str:
    """A whole number; anything else as it is, so that it is refused under its name."""
    return int(written) if written.strip().isascii() and written.strip().isdigit() and len(written) < 20 else written
