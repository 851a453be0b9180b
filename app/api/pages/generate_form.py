"""The form that generates: its controls in words, what stands in its fields, and the request that these make.

A browser without JavaScript posts the form; the page's own script makes the same request of the same fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from app.schemas.generate import GenerateIn

LINE_ENDS = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
"""How a stop string is written that a line of the field cannot hold."""


@dataclass(frozen=True)
class Control:
    """A setting of how tokens are drawn: its name in the request, and what a person reads."""

    name: str
    label: str
    note: str
    empty: str
    """What leaving it out means."""
    value: str = ""
    """What stands there at first."""
    low: float = 0
    high: float | None = None
    """Where it has a slider: its other end."""
    step: float = 1
    off: float | None = None
    """The end of the slider at which the field is empty."""
    is_whole: bool = False

    @property
    def id(self) -> str:
        return self.name.replace("_", "-")


CONTROLS = (
    Control(
        "temperature", "Temperature",
        "Below 1 the likely tokens gain, above 1 the unlikely ones; 0 always takes the likeliest.",
        "1", "0.8", high=2, step=0.05,
    ),
    Control(
        "top_k", "Top k", "Only the k likeliest tokens stay in the draw.",
        "off", low=1, high=100, off=100, is_whole=True,
    ),
    Control(
        "top_p", "Top p", "Only the likeliest tokens that together reach this share stay in the draw.",
        "off", low=0.01, high=1, step=0.01, off=1,
    ),
    Control(
        "min_p", "Min p", "Only tokens with this share of the likeliest one's chance stay in the draw.",
        "off", high=1, step=0.01, off=0,
    ),
    Control(
        "repetition_penalty", "Repetition penalty",
        "Above 1, tokens that stand in the prompt or the text already lose.",
        "1", low=0.5, high=2, step=0.05, off=1,
    ),
    Control(
        "max_new_tokens", "New tokens", "The text ends after so many tokens.",
        "256, or the room left", "80", low=1, is_whole=True,
    ),
    Control(
        "n", "Texts", "So many at once, each with a seed one higher than the one before.", "1", low=1, is_whole=True
    ),
    Control(
        "top_logprobs", "Alternatives", "So many other tokens are told for each place, up to 20.",
        "none", "5", is_whole=True,
    ),
)  # fmt: skip
SEED_NOTE = "The same seed, settings and model give the same text. Empty: a new one each time, told with the text."
STOP_NOTE = r"The text ends before the first of these. One a line; \n stands for a line end."
FIELDS = ("mode", "model", "prompt", "system", "seed", "stop", *(control.name for control in CONTROLS))
"""All that the form has, by the names that stand in an address, too."""


def filled(given: Mapping[str, str]) -> dict[str, str]:
    """What stands in each field: what is given, else what stands there at first."""
    first = dict.fromkeys(FIELDS, "") | {control.name: control.value for control in CONTROLS}
    known = {name: given[name].replace("\r\n", "\n") for name in FIELDS if name in given}
    return first | {"mode": "prompt"} | known


def request_of(fields: Mapping[str, str]) -> GenerateIn:
    """The request that the fields make.

    Raises:
        RequestValidationError: a field has a value that cannot be used, told as POST /generate tells it.
    """
    body: dict[str, object] = {name: _number(fields[name]) for name in ("seed", *_NUMBERS) if fields[name].strip()}
    if fields["model"]:
        body["model"] = fields["model"]
    if stops := [unescaped(line) for line in fields["stop"].split("\n") if line]:
        body["stop"] = stops
    if fields["mode"] == "chat":
        system = [{"role": "system", "content": fields["system"]}] if fields["system"] else []
        body["messages"] = [*system, {"role": "user", "content": fields["prompt"]}]
    else:
        body["prompt"] = fields["prompt"]
    try:
        return GenerateIn.model_validate(body)
    except ValidationError as error:
        found = [{**one, "loc": ("body", *one["loc"])} for one in error.errors()]
        raise RequestValidationError(found) from None


_NUMBERS = tuple(control.name for control in CONTROLS)


def unescaped(line: str) -> str:
    """A stop string as it is meant: `\\n` is a line end, and a backslash is doubled."""
    text, place = "", 0
    while place < len(line):
        pair = line[place : place + 2]
        text += LINE_ENDS.get(pair, line[place])
        place += 2 if pair in LINE_ENDS else 1
    return text


def _number(text: str) -> object:
    """The number; what is none stays text, and the request's own check tells of it."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
