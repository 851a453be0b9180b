"""Whether an `instruct` or `dpo` job can be done, asked before it is queued. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from sqlalchemy.orm import Session

from app.errors import InvalidRequest, MissingField, UnknownField
from app.llm.data.dialogues import Dialogue
from app.llm.data.preferred import Pair
from app.llm.train.config import AnswerConfig, InstructConfig, PreferenceConfig
from app.schemas.job import JobCreate
from app.services import model_files, networks
from app.services.answer_rows import AnswerRows, tokens_read
from app.services.job_rows import Counted, Line, Reading, counted
from app.services.prompt_templates import chosen
from app.services.recipe import Asked, refuse_others, train_config
from app.services.runtime import Runtime

ROLES = {
    "instruct": {"instruction", "input", "output", "messages", "prompt", "completion"},
    "dpo": {"instruction", "input", "prompt", "messages", "chosen", "rejected"},
}
RENDERED_CHARACTERS, RENDERED_TURNS = 4 << 20, 1 << 18
"""Rows of so many characters, and for whose answers so many turns are rendered, are made ids while somebody waits. Of
later ones each field is looked at, and those of few turns that may not fit are made ids, too; how long the others are
is judged by the first. What of them does not fit the run tells, as soon as it has read them."""
FEW_TURNS = 64  # to be rendered for one row: some ten turns
_OF_A_TEMPLATE, _OF_A_TURN = 1024, 64  # bytes that a template may add


def instruct(session: Session, runtime: Runtime, body: JobCreate) -> Asked:
    """The request as `instruct` understands it.

    Raises:
        AppError: its numbers do not fit together, or something is not there; `param` says which field.
    """
    return _asked(session, runtime, body, train_config(body, InstructConfig))


def dpo(session: Session, runtime: Runtime, body: JobCreate) -> Asked:
    """The request as `dpo` understands it.

    Raises:
        AppError: as `instruct`.
    """
    asked = _asked(session, runtime, body, train_config(body, PreferenceConfig))
    return replace(asked, window=2 * asked.window)  # an example is two answers


def count_dialogues(reading: Reading) -> Counted:
    """Read the rows: every record, and how long they are.

    Raises:
        InvalidRequest: one cannot be used; with its line.
    """
    rows, train = _rows_of(reading), reading.train
    by_length = isinstance(train, InstructConfig) and train.batching == "by_length"

    def measure(line: Line, lengths: _Lengths) -> int:
        dialogue = rows.dialogue(line)
        return lengths.of((dialogue,), lambda: len(rows.taught(line)))

    return _counted(reading, measure, 1 if by_length else train.batch_size)


def count_pairs(reading: Reading) -> Counted:
    """Read the rows: every pair, and how long they are; both answers are read.

    Raises:
        InvalidRequest: one cannot be used; with its line.
    """
    rows = _rows_of(reading)

    def measure(line: Line, lengths: _Lengths) -> int:
        pair: Pair = rows.pair(line)
        return 2 * lengths.of((pair.chosen, pair.rejected), lambda: len(rows.taught_pair(line)))

    return _counted(reading, measure, reading.train.batch_size)


def _asked(session: Session, runtime: Runtime, body: JobCreate, train: AnswerConfig) -> Asked:
    if not isinstance(body.model, str):
        raise MissingField("model: name the model that is to learn to answer", param="model")
    if body.test:
        raise UnknownField(f"test: recipe {body.recipe} makes no report at its end", param="test")
    given = body.columns.model_dump(exclude_none=True)
    refuse_others(body, "columns", given, ROLES[body.recipe])
    config, tokenizer_name = networks.asked_for(session, runtime, body)
    if train.max_tokens is not None and train.max_tokens > config.context_length:
        told = f"{train.max_tokens} tokens do not fit the model's context of {config.context_length}"
        raise InvalidRequest(f"train.max_tokens: {told}", param="train.max_tokens")
    own = model_files.chat_template(model_files.find(session, runtime.storage, body.model))
    template = chosen(train.template, own, runtime.tokenizers.get(session, tokenizer_name))
    model, called = networks.named(body)
    return Asked(
        model=model,
        called=called,
        tokenizer_name=tokenizer_name,
        makes_tokenizer=False,
        train=replace(train, template=template.name),
        window=tokens_read(train, config),
        network=config,
        columns=given,
        chat_template=own,
    )


def _rows_of(reading: Reading) -> AnswerRows:
    train = reading.train
    assert isinstance(train, AnswerConfig), "the recipe's own"
    return AnswerRows.of(train, reading.network, reading.tokenizer, reading.chat_template, reading.rows.columns)


class _Lengths:
    """Tokens of dialogues: the first ones are rendered and counted, most of the others judged by their characters."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._characters = self._turns = self._tokens = 0
        self.is_exact = True

    def of(self, dialogues: Iterable[Dialogue], count: Callable[[], int]) -> int:
        """Of the longest of the dialogues of one row, which `count` tells exactly."""
        sizes = [_size(dialogue) for dialogue in dialogues]
        characters, most_bytes, turns = (max(size[place] for size in sizes) for place in range(3))
        is_enough = self._characters >= RENDERED_CHARACTERS or self._turns >= RENDERED_TURNS
        if is_enough and (most_bytes < self._most or turns > FEW_TURNS):
            self.is_exact = False
            judged = round(characters * self._tokens / self._characters)
            return min(max(1, judged), self._most)
        found = count()
        self._turns += turns * len(sizes)
        self._characters += characters
        self._tokens += found
        return found


def _size(dialogue: Dialogue) -> tuple[int, int, int]:
    """Characters of what is said; how many tokens it may have at most (one a byte, and a template's own); and how many
    turns are rendered to find the answers: before and behind each, half of all in the mean."""
    said = sum(len(turn.content) for turn in dialogue.turns)
    in_bytes = sum(len(turn.content.encode()) for turn in dialogue.turns)
    answers = sum(turn.role == "assistant" for turn in dialogue.turns)
    turns = len(dialogue.turns)
    return said, in_bytes + _OF_A_TEMPLATE + _OF_A_TURN * turns, answers * turns


def _counted(reading: Reading, measure: Callable[[Line, _Lengths], int], batch_size: int) -> Counted:
    train = reading.train
    assert isinstance(train, AnswerConfig), "the recipe's own"
    lengths = _Lengths(tokens_read(train, reading.network))
    found = [measure(line, lengths) for line in reading.lines()]
    if not found:
        raise InvalidRequest("dataset: there is no row to learn from", param="dataset")
    for line in reading.lines("validation"):
        measure(line, lengths)
    return counted(reading, found, batch_size, is_exact=lengths.is_exact)
