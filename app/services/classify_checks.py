"""Whether a classify job can be done, asked before it is queued. Free of torch; `classifying` does the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from app.errors import InvalidRequest, MissingField
from app.llm.config import MAX_CLASSES, ClassifierConfig, ModelConfig
from app.llm.data.columns import ROLES
from app.llm.data.corpus import end_of_text
from app.llm.tokenizer.base import Tokenizer
from app.llm.train.config import ClassifyConfig
from app.schemas.job import JobCreate
from app.services import datasets, networks
from app.services.job_rows import Counted, Line, Reading, counted
from app.services.recipe import Asked, refuse_others, train_config
from app.services.runtime import Runtime

DEFAULT_TEST = 0.2
"""The share that is held out for the report, as in chapter 6."""
MAX_KEPT_BACK = 0.9
MAX_LABEL_CHARACTERS = 200


def check(session: Session, runtime: Runtime, body: JobCreate) -> Asked:
    """The request as classify understands it.

    Raises:
        AppError: its numbers do not fit together, or something is not there; `param` says which field.
    """
    config, tokenizer_name = networks.asked_for(session, runtime, body)
    train = train_config(body, ClassifyConfig)
    if train.max_tokens is not None and train.max_tokens > config.context_length:
        told = f"{train.max_tokens} tokens do not fit the model's context of {config.context_length}"
        raise InvalidRequest(f"train.max_tokens: {told}", param="train.max_tokens")
    test = DEFAULT_TEST if body.test is None else body.test
    if isinstance(body.validation, float) and body.validation + test > MAX_KEPT_BACK:
        told = f"with `validation` {body.validation + test:g} of all rows would be kept back, more than {MAX_KEPT_BACK}"
        raise InvalidRequest(f"test: {told}", param="test")
    model, called = networks.named(body)
    return Asked(
        model=model,
        called=called,
        tokenizer_name=tokenizer_name,
        makes_tokenizer=False,
        train=train,
        window=train.max_tokens or config.context_length,
        network=config,
        columns=_columns(session, body),
        test=test,
    )


def _columns(session: Session, body: JobCreate) -> dict[str, str]:
    """The columns by role: those named, and what the first dataset has for the others."""
    given = body.columns.model_dump(exclude_none=True)
    refuse_others(body, "columns", given, {"text", "label"})
    first = body.dataset if isinstance(body.dataset, str) else body.dataset[0].dataset
    row = datasets.read(session, first, "dataset")
    names = {} if row.rows is None else {name.lower(): name for name in reversed(datasets.column_names(row))}
    found = dict(given)
    for role, usual in ROLES["labelled"].items():
        if role in found or row.rows is None:
            continue
        free = (names[name] for name in usual if name in names and names[name] not in found.values())
        column = next(free, None)
        if column is None:
            told = f"say which column is the {role}; {row.label} has {', '.join(datasets.column_names(row)[:20])}"
            raise MissingField(f"columns.{role}: {told}", param=f"columns.{role}")
        found[role] = column
    if len(set(found.values())) < len(found):
        raise InvalidRequest("columns.label: the column of labels is not that of texts", param="columns.label")
    return found


def label_and_text(line: Line, columns: Mapping[str, str]) -> tuple[str, str]:
    """A row as classify reads it: white space around a label is none of it.

    Raises:
        InvalidRequest: one is missing, empty, or of another kind; with the line.
    """
    value = line.values.get(columns["label"])
    label = str(value).lower() if isinstance(value, bool) else line.text(columns["label"]).strip()
    if len(label) > MAX_LABEL_CHARACTERS:
        raise line.refused(f"{columns['label']}: a label of {len(label):,} characters; is it the column of texts?")
    if "\0" in label:  # no database keeps it
        raise line.refused(f"{columns['label']}: a label holds the character NUL")
    return label, line.text(columns["text"])


def count(reading: Reading) -> Counted:
    """Read the rows: every label and text, the classes, the lengths.

    Raises:
        InvalidRequest: one class only, or more than a classifier has; or a row that cannot be used, with its line.
    """
    train = reading.train
    assert isinstance(train, ClassifyConfig), "the recipe's own"
    columns, lengths = reading.rows.columns, reading.lengths()
    classes: Counter[str] = Counter()
    found = []
    for line in reading.lines():
        label, text = label_and_text(line, columns)
        classes[label] += 1
        if len(classes) > MAX_CLASSES:
            told = f"there are more than {MAX_CLASSES:,} labels up to here; is {columns['label']} the column of labels?"
            raise line.refused(told)
        found.append(min(reading.window, lengths.of(line, text)))
    if reading.is_whole:
        check_classes(classes, columns)
    for line in reading.lines("validation"):
        label, text = label_and_text(line, columns)
        if reading.is_whole and label not in classes:
            raise line.refused(f"the label {label!r} is none of those to learn: {_some(classes)}")
        lengths.of(line, text)
    sizes = [min(classes.values())] * len(classes) if train.balanced else list(classes.values())
    names = tuple(sorted(classes)) if len(classes) > 1 else ("", " ")  # of a file that is not read yet
    return counted(
        reading,
        [max(found)] * len(found) if train.reads == "last_place" else found,
        1 if train.batching == "by_length" else train.batch_size,
        sizes=sizes,
        is_exact=lengths.is_exact,
        network=shape_of(reading.network, names, train, max(found), reading.tokenizer),
    )


def check_classes(classes: Mapping[str, int], columns: Mapping[str, str]) -> None:
    """Pass two classes or more.

    Raises:
        InvalidRequest: there is one only, or none.
    """
    if len(classes) < 2:
        told = f"{columns['label']} is {_some(classes)} in every row; there must be two classes at least"
        raise InvalidRequest(f"dataset: {told}", param="dataset")


def shape_of(
    body: ModelConfig, classes: Sequence[str], train: ClassifyConfig, longest: int, tokenizer: Tokenizer
) -> ClassifierConfig:
    """The classifier that a network becomes; `longest`: tokens of the longest text to learn from."""
    end = end_of_text(tokenizer)
    pad_id = next(found for found in (end, tokenizer.eos_id, 0) if found is not None)
    return ClassifierConfig(body, tuple(classes), train.reads, train.max_tokens or longest, pad_id)


def _some(classes: Mapping[str, int]) -> str:
    return ", ".join(repr(name) for name in sorted(classes)[:10])
