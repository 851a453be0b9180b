"""The rows that an evaluation measures on: which of a dataset, and what each asks and expects. Free of torch."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper

from sqlalchemy.orm import Session

from app.db.tables.dataset import DatasetRow
from app.db.tables.job import JobRow
from app.errors import InvalidRequest
from app.llm.config import ClassifierConfig
from app.llm.data.columns import roles
from app.llm.data.dialogues import FIELDS, Turn, dialogue_of, text_of
from app.llm.data.instructions import Instruction
from app.llm.errors import BadField
from app.llm.tokenizer.base import Tokenizer
from app.schemas.evaluation import MAX_ROWS
from app.schemas.job import ColumnsSpec
from app.services import datasets
from app.services.choice_rows import COLUMNS, choice_columns
from app.services.classify_checks import label_and_text
from app.services.dataset_texts import source_of
from app.services.job_rows import JobRows, Line
from app.services.storage import Storage
from app.services.tokenizers import Tokenizers

JOINT = "\n\n"
"""Between an instruction and its input, where both are one message."""
ROLES: dict[str, tuple[str, ...]] = {
    "perplexity": ("text",),
    "accuracy": ("text", "label"),
    "answers": tuple(name for names in FIELDS.values() for name in names),
    "judge": tuple(name for names in FIELDS.values() for name in names),
    "choices": tuple(COLUMNS),
}
"""Columns that each kind reads."""
NEEDED = {"accuracy": "text and label", "choices": "question, choices and answer"}


@dataclass(frozen=True)
class Question:
    """What a row asks, and the answer that it expects."""

    line: int
    turns: tuple[Turn, ...]  # up to where the answer begins
    task: Instruction | None  # None: a conversation
    is_instruction: bool  # in a field of that name, which prompt styles are made for
    reference: str

    @property
    def shown(self) -> str:
        """The question for whoever compares answers to it."""
        if len(self.turns) == 1:
            return self.turns[0].content
        return "\n".join(f"{turn.role}: {turn.content}" for turn in self.turns)


@dataclass(frozen=True)
class EvaluationRows:
    """Rows of one dataset, all of them or some by chance."""

    dataset: DatasetRow
    columns: Mapping[str, str]  # by role
    max_rows: int | None
    seed: int

    @classmethod
    def of_job(cls, session: Session, job: JobRow) -> EvaluationRows:
        """Of a job's row.

        Raises:
            DatasetNotFound: its dataset was deleted.
        """
        assert job.evaluate is not None, "it is an evaluation"
        dataset = datasets.read(session, job.datasets[0]["dataset"], "dataset")
        return cls(dataset, job.columns, job.evaluate["max_rows"], job.seed)

    @property
    def count(self) -> int:
        known = self.dataset.rows or 0
        return known if self.max_rows is None else min(known, self.max_rows)

    def check(self) -> None:
        """Pass rows that are there, not too many, and have the columns.

        Raises:
            InvalidRequest: they are not.
        """
        JobRows((self.dataset,), None, self.columns, 0.0, 0.0).check()
        if not self.count:
            raise InvalidRequest(f"dataset: {self.dataset.label} has no row", param="dataset")
        if self.count > MAX_ROWS:
            told = f"{self.count:,} rows are more than the {MAX_ROWS:,} of one evaluation; say how many to draw"
            raise InvalidRequest(f"evaluate.max_rows: {told}", param="evaluate.max_rows")

    def lines(self, storage: Storage, most_bytes: int | None = None) -> Iterator[Line]:
        """The rows, in the order of the file.

        Args:
            most_bytes: of the file; None: all.

        Raises:
            DataMissing: the file is gone.
        """
        drawn = self._drawn()
        rows = JobRows((self.dataset,), None, self.columns, 0.0, 0.0)
        for place, line in enumerate(rows.lines(storage, "dataset", most_bytes)):
            if drawn is None or place in drawn:
                yield line

    def texts(self, storage: Storage, most_bytes: int | None = None) -> Iterator[tuple[Line, str]]:
        """What is foretold or told apart: of rows the text of each; of a text its lines, but for blank ones.

        Raises:
            InvalidRequest: a row has no text; with its line.
            DataMissing: the file is gone.
        """
        if self.dataset.rows is not None:
            for line in self.lines(storage, most_bytes):
                yield line, line.text(self.columns["text"])
            return
        read = 0
        with datasets.opened(storage, self.dataset) as file, TextIOWrapper(file, "utf-8-sig", newline="\n") as lines:
            for number, text in enumerate(lines, start=1):
                if most_bytes is not None and read >= most_bytes:
                    return
                read += len(text)
                if text.strip():
                    yield Line(self.dataset.id, 0, number, {}, "dataset"), text

    def _drawn(self) -> set[int] | None:
        known = self.dataset.rows or 0
        if self.count == known:
            return None
        return set(random.Random(self.seed).sample(range(known), self.count))


def columns_of(kind: str, dataset: DatasetRow, given: ColumnsSpec) -> dict[str, str]:
    """Which column is what, by role; what is not said is found by its name. None of a text.

    Raises:
        InvalidRequest: a column that is needed is not named and cannot be found.
    """
    named: dict[str, str] = given.model_dump(exclude_none=True)
    if kind == "perplexity":
        source = source_of(dataset, named.get("text"), "dataset", "columns.text")
        return {} if source.column is None else {"text": source.column}
    if dataset.rows is None:
        raise InvalidRequest(f"dataset: {dataset.label} is a text; {kind} is measured on rows", param="dataset")
    names = datasets.column_names(dataset)
    find = {"accuracy": _labelled, "choices": choice_columns}.get(kind, _asked)
    found = find(names, named)
    if found is None:
        needed = NEEDED.get(kind, "messages, instruction and output, or prompt and completion")
        told = f"{dataset.label} has {', '.join(names[:20])}; say which of them are {needed}"
        raise InvalidRequest(f"columns: {told}", param="columns")
    return found


def _labelled(names: list[str], named: dict[str, str]) -> dict[str, str] | None:
    left = [name for name in names if name not in named.values()]
    guessed = roles("labelled", names) if not named else None
    found = (guessed or {role: role for role in ("text", "label") if role in left}) | named
    return found if {"text", "label"} <= found.keys() else None


def _asked(names: list[str], named: dict[str, str]) -> dict[str, str] | None:
    """The columns of one kind of record: the one that was named, else the first that is there."""
    lower = {name.lower(): name for name in reversed(names)}
    for kind, fields in FIELDS.items():
        needed = set(fields) - {"input"}
        if named and not named.keys() <= set(fields):
            continue
        found = {field: lower[field] for field in fields if field in lower} | named
        if needed <= found.keys() and (named.keys() & needed or not named or kind == "alpaca"):
            return found
    return None if named else roles("instructions", names)


def question_of(line: Line, columns: Mapping[str, str]) -> Question:
    """What a row asks.

    Raises:
        InvalidRequest: a field is missing, empty or no text, or the roles are out of order; with the line.
    """
    values = {role: line.values.get(column) for role, column in columns.items()}
    try:
        dialogue = dialogue_of(values, line.number, JOINT)
        task = None
        if "messages" not in columns:
            asked = str(values.get("instruction") or values.get("prompt"))
            about = values.get("input")
            task = Instruction(asked, text_of(about, line.number, "input") if about else "", "")
    except BadField as error:
        raise line.refused(error.reason) from error
    is_instruction = "instruction" in columns
    return Question(line.number, dialogue.turns[:-1], task, is_instruction, dialogue.turns[-1].content)


def words_of(session: Session, tokenizers: Tokenizers, names: Iterable[str]) -> list[Tokenizer]:
    """Those of the tokenizers that know words: one of them may meet a word that it does not know.

    Raises:
        TokenizerNotFound: there is none of a name.
    """
    found = [tokenizers.get(session, name, param="model") for name in sorted(set(names))]
    return [tokenizer for tokenizer in found if tokenizer.kind == "word"]


def check_label(line: Line, columns: Mapping[str, str], name: str, shape: ClassifierConfig) -> None:
    """Pass a row whose label is one of the classifier's.

    Raises:
        InvalidRequest: it is another, or is missing; or there is no text.
    """
    label, _ = label_and_text(line, columns)
    if label not in shape.classes:
        raise line.refused(f"the label {label[:100]!r} is none of {name}'s: {', '.join(shape.classes[:20])}")
