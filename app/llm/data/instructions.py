"""Instructions and their answers (chapter 7): prompt styles, targets, and what of them counts. Knows no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from app.llm.data.examples import IGNORED, checked_text, pad
from app.llm.errors import BadExample
from app.llm.tokenizer.base import Tokenizer


@dataclass(frozen=True, slots=True)
class Instruction:
    """A task, what it is about (may be ""), and the answer wanted."""

    instruction: str
    input: str
    output: str


@dataclass(frozen=True)
class PromptStyle:
    """What stands before an instruction, before its input (left out where there is none), and before the answer."""

    instruction: str
    input: str
    response: str

    def prompt(self, entry: Instruction) -> str:
        """The task as the model reads it, without the mark that the answer follows."""
        return self.instruction + entry.instruction + (self.input + entry.input if entry.input else "")

    def answered(self, entry: Instruction, answer: str) -> str:
        """The task with an answer: what the model learns."""
        return self.prompt(entry) + self.response + answer


PROMPT_STYLES = {
    "alpaca": PromptStyle(
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\n",
        "\n\n### Input:\n",
        "\n\n### Response:\n",
    ),
    "phi3": PromptStyle("<|user|>\n", "\n", "\n<|assistant|>:\n"),
}
"""Of Stanford's Alpaca, which chapter 7 uses, and of Microsoft's Phi-3, as its exercise 7.1 shortens it."""


@dataclass(frozen=True, slots=True)
class PromptedIds:
    """A task with its answer as ids; the first `prompt_length` belong to the task."""

    ids: list[int]
    prompt_length: int


def read_instructions(rows: object) -> list[Instruction]:
    """Entries of a JSON list of objects with `instruction`, `output` and perhaps `input`; other fields are let be.

    Raises:
        BadExample: an entry is no such object, or its instruction or output is empty.
    """
    return [instruction_of(row, number) for number, row in numbered_objects(rows)]


def numbered_objects(rows: object) -> Iterable[tuple[int, Mapping[str, object]]]:
    """The objects of a JSON list, counted from 1.

    Raises:
        BadExample: it is no list, or one of its entries is no object.
    """
    if not isinstance(rows, list):
        raise BadExample(1, "the file must hold a list of entries")
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise BadExample(number, f"an entry is an object, not {type(row).__name__}")
        yield number, row


def instruction_of(row: Mapping[str, object], number: int) -> Instruction:
    """One entry.

    Raises:
        BadExample: its instruction or output is missing or empty, or a field is no text.
    """
    return Instruction(
        checked_text(row.get("instruction"), "instruction", number),
        checked_text(row.get("input", ""), "input", number, may_be_empty=True),
        checked_text(row.get("output"), "output", number),
    )


def encode_instructions(
    entries: Iterable[Instruction], tokenizer: Tokenizer, style: PromptStyle = PROMPT_STYLES["alpaca"]
) -> list[PromptedIds]:
    return [
        PromptedIds(tokenizer.encode(style.answered(entry, entry.output)), len(tokenizer.encode(style.prompt(entry))))
        for entry in entries
    ]


def join_instructions(
    rows: Sequence[PromptedIds], end_id: int, max_length: int | None = None, *, mask_prompt: bool = False
) -> tuple[Tensor, Tensor]:
    """Inputs and targets, (B, T) each, int64, where T is the longest row's length.

    Inputs are filled up with `end_id`. Targets are the inputs one place on and one `end_id` after them; what
    comes behind that is `IGNORED`, and with `mask_prompt` so is what is predicted within the prompt.

    Args:
        max_length: the most tokens a row keeps; of a longer one the end is cut off, perhaps all that counts.
    """
    length = max(len(row.ids) for row in rows)
    if max_length is not None:
        length = min(length, max_length)
    targets = pad([[*row.ids[1:], end_id] for row in rows], length, IGNORED)
    if mask_prompt:
        for target, row in zip(targets, rows, strict=True):
            target[: row.prompt_length - 1] = IGNORED
    return pad([row.ids for row in rows], length, end_id), targets
