"""How well a classifier does on examples whose classes are known. Knows no network and no text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
WORST = 20
STEPS = 200
"""Thresholds between 0 and 1 that a report can be read at."""


@dataclass(frozen=True)
class ClassScore:
    """Of one class: how many of those told as it are it, how many of it are told, their harmonic mean; rows of it.

    None where there is nothing to divide by.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    rows: int


@dataclass(frozen=True)
class Bin:
    """Verdicts of like confidence, in one of `BINS` of equal width: their mean confidence, and how many are right."""

    low: float
    high: float
    rows: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Mistake:
    """A row that is told as another class, and the probability that was given to its own."""

    row: int
    label: str
    told: str
    probability: float


@dataclass(frozen=True)
class ClassReport:
    """On `rows` examples. `confusion[i][j]`: rows of class i that were told as class j.

    `calibration_error` is the expected one (Guo et al. 2017): how far confidence and accuracy are apart, in the mean
    over all rows. `worst` are the mistakes in which the true class had the least probability. `by_probability`, of two
    classes: `[i][k]` rows of class i to which the second class was given a probability from k / STEPS on, and less than
    the next step; None of more classes.
    """

    rows: int
    accuracy: float
    macro_f1: float
    confusion: list[list[int]]
    classes: list[ClassScore]
    calibration: list[Bin]
    calibration_error: float
    worst: list[Mistake]
    by_probability: list[list[int]] | None


def class_report(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], names: Sequence[str], threshold: float | None = None
) -> ClassReport:
    """Compare probabilities (N, C) with the true classes (N,).

    Args:
        threshold: of two classes, from which probability on the second one is told; None: the likelier one is.

    Raises:
        ValueError: there is no row, or a label that is no class.
    """
    if not len(labels) or labels.min() < 0 or labels.max() >= len(names):
        raise ValueError("each row needs a label among the classes, and there must be one")
    told = verdicts(probabilities, threshold)
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (labels, told), 1)
    scores = class_scores(names, confusion)
    known = [score.f1 for score in scores if score.f1 is not None]
    bins = _bins(probabilities, labels == told, told)
    return ClassReport(
        rows=len(labels),
        accuracy=float(np.mean(labels == told)),
        macro_f1=math.fsum(known) / len(known),
        confusion=confusion.tolist(),
        classes=scores,
        calibration=bins,
        calibration_error=math.fsum(
            each.rows * abs(each.confidence - each.accuracy)
            for each in bins
            if each.confidence is not None and each.accuracy is not None
        )
        / len(labels),
        worst=_worst(probabilities, labels, told, names),
        by_probability=_by_probability(probabilities, labels) if len(names) == 2 else None,
    )


def class_scores(names: Sequence[str], confusion: Sequence[Sequence[int]] | NDArray[np.int64]) -> list[ClassScore]:
    """How well each class is told, from a confusion matrix."""
    matrix = np.asarray(confusion, dtype=np.int64)
    return [_score(name, matrix, number) for number, name in enumerate(names)]


def confusion_at(by_probability: Sequence[Sequence[int]], threshold: float) -> list[list[int]]:
    """The confusion matrix that a report's rows had with another threshold, rounded to one of `STEPS`."""
    first = round(threshold * STEPS)
    return [[sum(rows[:first]), sum(rows[first:])] for rows in by_probability]


def verdicts(probabilities: NDArray[np.float64], threshold: float | None = None) -> NDArray[np.int64]:
    """The class (N,) that is told of each row of probabilities (N, C)."""
    told = probabilities.argmax(1) if threshold is None else probabilities[:, 1] >= threshold
    return np.asarray(told, dtype=np.int64)


def best_threshold(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Of two classes: the probability of the second one from which telling it gives the best F1 on these rows.

    Between two rows' probabilities the middle is taken; of equally good ones the one nearest to a half. A half where
    the rows have one class only.
    """
    second = probabilities[:, 1]
    if len(np.unique(labels)) < 2:
        return 0.5
    values = np.unique(second)  # ascending
    candidates = np.concatenate([[0.5], (values[1:] + values[:-1]) / 2])
    order = second.argsort()
    of_second = labels[order] == 1
    right = np.append(of_second[::-1].cumsum()[::-1], 0)  # where so many rows with the least probabilities are left out
    left_out = np.searchsorted(second[order], candidates)
    f1 = 2 * right[left_out] / (len(second) - left_out + of_second.sum())
    return float(candidates[np.lexsort((candidates, -abs(candidates - 0.5), f1))[-1]])


def _score(name: str, confusion: NDArray[np.int64], number: int) -> ClassScore:
    right, told, of_it = (
        int(n) for n in (confusion[number, number], confusion[:, number].sum(), confusion[number].sum())
    )
    return ClassScore(
        name,
        precision=right / told if told else None,
        recall=right / of_it if of_it else None,
        f1=2 * right / (told + of_it) if told + of_it else None,
        rows=of_it,
    )


def _bins(probabilities: NDArray[np.float64], right: NDArray[np.bool_], told: NDArray[np.int64]) -> list[Bin]:
    confidence = probabilities[np.arange(len(told)), told]
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    found = []
    for number in range(BINS):
        inside = places == number
        rows = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if rows else (None, None)
        found.append(Bin(number / BINS, (number + 1) / BINS, rows, *means))
    return found


def _by_probability(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> list[list[int]]:
    edges = np.arange(STEPS + 1) / STEPS
    places = np.searchsorted(edges, probabilities[:, 1], side="right") - 1
    counts = np.zeros((2, STEPS + 1), dtype=np.int64)
    np.add.at(counts, (labels, places.clip(0, STEPS)), 1)  # rounding may leave what is 0 a little below it
    return [[int(count) for count in row] for row in counts]


def _worst(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], told: NDArray[np.int64], names: Sequence[str]
) -> list[Mistake]:
    of_own = probabilities[np.arange(len(labels)), labels]
    wrong = sorted(np.flatnonzero(labels != told).tolist(), key=lambda row: (of_own[row], row))
    return [Mistake(row, names[labels[row]], names[told[row]], float(of_own[row])) for row in wrong[:WORST]]
