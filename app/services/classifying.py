"""The recipe `classify`, from a job's row to what the training loop needs, and the report once it has ended.

Knows no lease, metric or checkpoint.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from app.db.tables.job import JobRow
from app.llm.checkpoint import ModelMeta, Network
from app.llm.class_report import best_threshold, class_report, verdicts
from app.llm.config import ClassifierConfig
from app.llm.data.labelled import Labelled, LabelledIds, balanced, class_names
from app.llm.model.classifier import Classifier
from app.llm.train.classify import Classification
from app.llm.train.config import ClassifyConfig
from app.services.batch_rows import EXCERPT_TOKENS
from app.services.classify_checks import check_classes, label_and_text, shape_of
from app.services.corpus import Encoder
from app.services.job_data import Check
from app.services.job_examples import Example, ExampleData, Examples, read_examples
from app.services.job_rows import Line, encoded
from app.services.recipe import Finished, Run
from app.services.runtime import Runtime
from app.services.starting_network import start

MAX_SHOWN_CHARACTERS = 1000
"""Of a text in the report."""

PARTS = ("train", "validation", "test")
BALANCED_SEEDS = 2**32  # numpy's old generator, which pandas draws with, takes no larger ones

Row = tuple[str, list[int]]  # a label, and the ids of a text


def read_config(train: dict[str, Any]) -> ClassifyConfig:
    """The settings of a job's row."""
    return ClassifyConfig(**train)


def make_network(runtime: Runtime, job: JobRow, encoder: Encoder) -> tuple[Network, ModelMeta]:
    """The network that the job starts from, with a fresh head for the classes of its rows.

    Raises:
        AppError: a model or dataset is not there (any more), or a row cannot be used.
        BadConfig, BadWeights, BadCheckpoint: the network cannot be made, or is damaged.
    """
    config = read_config(job.train)
    examples = _examples(runtime, job, encoder, config, lambda: None)
    classes = class_names(Labelled(example.value[0], "") for example in examples.learnt)
    check_classes(dict.fromkeys(classes, 1), job.columns)
    body, meta = start(runtime, job, encoder)
    most = min(body.config.context_length, max(example.tokens for example in examples.learnt))
    shape = shape_of(body.config, classes, config, most, encoder.tokenizer)
    # What is told of a chat has no place with classes.
    return Classifier(body, len(classes)), replace(meta, config=shape, chat_template=None)


def make_run(runtime: Runtime, job: JobRow, encoder: Encoder, network: Network, meta: ModelMeta, check: Check) -> Run:
    """The data and the task for a network that lies on its device.

    Raises:
        InvalidRequest: a row cannot be used, or none is left for a part.
        DatasetNotFound, TrainingStopped: as `read_examples`.
    """
    assert isinstance(network, Classifier), "only such networks are made here"
    assert isinstance(meta.config, ClassifierConfig), "what describes them"
    config, shape, tokenizer = read_config(job.train), meta.config, encoder.tokenizer
    examples = _examples(runtime, job, encoder, config, check)
    numbers = {name: number for number, name in enumerate(shape.classes)}
    parts = [
        [LabelledIds(example.value[1], numbers[example.value[0]]) for example in part]
        for part in (examples.learnt, examples.measured, examples.tested)
    ]

    def shown(row: LabelledIds) -> str:
        return tokenizer.decode(row.ids[:EXCERPT_TOKENS])

    task = Classification(network, shape, config, (parts[0], parts[1]), job.seed, shown)
    return Run(
        task,
        config.with_steps(config.steps(len(task.batches))),
        ExampleData(job, task.batches, examples.learnt, lambda row: tokenizer.decode(row[1][:EXCERPT_TOKENS])),
        finish=lambda check: _finished(task, meta, job, encoder, (parts, examples), check),
    )


def _examples(runtime: Runtime, job: JobRow, encoder: Encoder, config: ClassifyConfig, check: Check) -> Examples[Row]:
    def read(line: Line) -> Row:
        label, text = label_and_text(line, job.columns)
        return label, encoded(encoder.tokenizer, line, text)

    def choose(found: list[Example[Row]]) -> list[Example[Row]]:
        if not config.balanced:
            return found
        labels = [Labelled(example.value[0], "") for example in found]
        return [found[number] for number in balanced(labels, job.seed % BALANCED_SEEDS)]

    return read_examples(runtime, job, read, lambda row: len(row[1]), check, label=lambda row: row[0], choose=choose)


def _finished(
    task: Classification,
    meta: ModelMeta,
    job: JobRow,
    encoder: Encoder,
    read: tuple[list[list[LabelledIds]], Examples[Row]],
    check: Check,
) -> Finished:
    """The report on what was held out (else on what was measured on), and the model with its threshold.

    The threshold is chosen on what was measured on, which the report is not made of where more was held out.
    """
    assert isinstance(meta.config, ClassifierConfig), "what describes a classifier"
    parts, examples = read
    task.model.eval()
    named = {name: rows for name, rows in zip(PARTS, parts, strict=True) if rows}
    chances = {name: task.probabilities(rows, check) for name, rows in named.items()}
    labels = {name: np.array([row.label for row in rows]) for name, rows in named.items()}
    threshold = None
    if len(meta.config.classes) == 2 and "validation" in chances:
        threshold = best_threshold(chances["validation"], labels["validation"])
    shape = replace(meta.config, threshold=threshold)
    accuracy = {name: float(np.mean(verdicts(found, threshold) == labels[name])) for name, found in chances.items()}
    part = "test" if "test" in chances else "validation"
    if part not in chances:
        return Finished(None, replace(meta, config=shape))
    report = class_report(chances[part], labels[part], shape.classes, threshold)
    told = asdict(report)
    places = examples.tested if part == "test" else examples.measured
    told["worst"] = [
        each | _where(job, places[each.pop("row")], encoder, is_validation=part == "validation")
        for each in told["worst"]
    ]
    about = {"part": part, "threshold": threshold, "max_tokens": shape.max_tokens, "accuracies": accuracy}
    return Finished(about | told, replace(meta, config=shape))


def _where(job: JobRow, example: Example[Row], encoder: Encoder, *, is_validation: bool) -> dict[str, Any]:
    """Where a row stands, and what it says."""
    own = job.validation.get("dataset") if is_validation else None
    text = encoder.tokenizer.decode(example.value[1])
    return {
        "dataset": own or job.datasets[example.place]["dataset"],
        "line": example.line,
        "text": text if len(text) <= MAX_SHOWN_CHARACTERS else text[: MAX_SHOWN_CHARACTERS - 1] + "…",
    }
