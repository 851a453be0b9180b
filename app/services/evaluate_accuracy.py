"""The kind `accuracy`: what classifiers tell of rows whose labels are known."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.db.tables.result import ResultRow
from app.llm.class_report import class_report, verdicts
from app.llm.config import ClassifierConfig
from app.llm.model.classifier import Classifier
from app.llm.verdict import probabilities
from app.services.classifiers import Opened
from app.services.classify_checks import label_and_text
from app.services.evaluation_rows import check_label
from app.services.evaluation_work import Work
from app.services.job_rows import encoded

TEXTS_AT_ONCE = 256
"""Of these, those of like length go through the network together."""


def run(work: Work) -> None:
    """Have each classifier tell the class of each row that it was not asked about yet."""
    for name in work.models:
        shape = work.runtime.classifiers.get(name).shape
        for line in work.rows.lines(work.runtime.storage):
            check_label(line, work.rows.columns, name, shape)
            work.check()
    work.check_words()
    for place, name in enumerate(work.models):
        known = work.done(place)
        total = work.rows.count * len(work.models)
        work.begin(f"{name} tells classes", place, done=place * work.rows.count + len(known), total=total)
        classifier = work.runtime.classifiers.get(name)
        _tell(work, classifier, known)
        classifier.network.let_go()  # at once: the next one needs the room
        work.flush()


def report(work: Work) -> list[dict[str, Any]]:
    """Of each classifier, the report of its verdicts."""
    return [_report(work, place, name) for place, name in enumerate(work.models)]


def _tell(work: Work, classifier: Opened, known: set[int]) -> None:
    with classifier.network.lent() as network:
        _tell_rows(work, classifier, network.to(work.device), known)


def _tell_rows(work: Work, classifier: Opened, network: Classifier, known: set[int]) -> None:
    shape = classifier.shape
    numbers = {label: number for number, label in enumerate(shape.classes)}
    left = (line for line in work.rows.lines(work.runtime.storage) if line.number not in known)
    while lines := list(islice(left, TEXTS_AT_ONCE)):
        rows = [(line, *label_and_text(line, work.rows.columns)) for line in lines]
        ids = [encoded(classifier.tokenizer, line, text) for line, _, text in rows]
        for places, chances in probabilities(network, shape, ids):
            told = verdicts(chances, shape.threshold)
            for place, its, number in zip(places, chances, told.tolist(), strict=True):
                line, label, text = rows[place]
                figures = {"probability": float(its[numbers[label]]), "confidence": float(its[number])}
                work.add(line.number, prompt=text, reference=label, answer=shape.classes[number], figures=figures)


def _report(work: Work, place: int, name: str) -> dict[str, Any]:
    shape = work.runtime.classifiers.get(name).shape
    found = list(work.results(place))
    chances, labels = _as_chances(found, shape)
    report = asdict(class_report(chances, labels, shape.classes, shape.threshold))
    for worst in report["worst"]:
        row = found[worst.pop("row")]
        worst |= {"line": row.row, "text": (row.prompt or "")[:1000]}
    return {"model": name, "failed": 0, "threshold": shape.threshold} | report


def _as_chances(found: list[ResultRow], shape: ClassifierConfig) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities (N, C) as far as results keep them (the told class's and the true one's), and the labels (N,)."""
    numbers = {label: number for number, label in enumerate(shape.classes)}
    labels = np.array([numbers[each.reference or ""] for each in found], dtype=np.int64)
    told = np.array([numbers[each.answer or ""] for each in found], dtype=np.int64)
    chances = np.zeros((len(found), len(shape.classes)))
    rows = np.arange(len(found))
    chances[rows, labels] = [each.figures["probability"] for each in found]
    chances[rows, told] = [each.figures["confidence"] for each in found]
    if len(shape.classes) == 2:
        chances[rows, 1 - told] = 1.0 - chances[rows, told]
    return chances, labels
