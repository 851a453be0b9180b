"""Confusion, precision, recall, F1, calibration and the threshold, by hand and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest

from app.llm.class_report import BINS, STEPS, WORST, best_threshold, class_report, class_scores, confusion_at, verdicts

HAM_SPAM = ("ham", "spam")


def two(second: list[float]) -> np.ndarray:
    return np.array([[1 - p, p] for p in second])


def test_a_case_done_by_hand() -> None:
    report = class_report(two([0.1, 0.4, 0.8, 0.9, 0.6]), np.array([0, 1, 1, 1, 0]), HAM_SPAM)
    assert (report.rows, report.accuracy) == (5, 0.6)
    assert report.confusion == [[1, 1], [1, 2]]
    ham, spam = report.classes
    assert (ham.precision, ham.recall, ham.f1, ham.rows) == (0.5, 0.5, 0.5, 2)
    assert (spam.precision, spam.recall, spam.rows) == (2 / 3, 2 / 3, 3)
    assert report.macro_f1 == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert [(each.row, each.label, each.told) for each in report.worst] == [(1, "spam", "ham"), (4, "ham", "spam")]
    assert report.worst[0].probability == 0.4


def test_the_threshold_decides() -> None:
    probabilities = two([0.2, 0.35, 0.7])
    assert verdicts(probabilities).tolist() == [0, 0, 1]
    assert verdicts(probabilities, 0.3).tolist() == [0, 1, 1]
    assert class_report(probabilities, np.array([0, 1, 1]), HAM_SPAM, threshold=0.3).accuracy == 1.0


def test_any_threshold_can_be_read_off_a_report() -> None:
    generator = np.random.default_rng(4)
    second = [*generator.integers(0, STEPS + 1, 60) / STEPS, *generator.random(60), -1e-9, 1 + 1e-9]
    labels = generator.integers(0, 2, len(second))
    counts = class_report(two(second), labels, HAM_SPAM).by_probability
    assert counts is not None
    for step in range(STEPS + 1):
        if step:  # below no probability, whatever rounding has done to it
            wanted = class_report(two(second), labels, HAM_SPAM, step / STEPS)
            assert confusion_at(counts, step / STEPS) == wanted.confusion
            assert class_scores(HAM_SPAM, wanted.confusion) == wanted.classes
    assert confusion_at(counts, 0.0) == [[0, int(sum(labels == 0))], [0, int(sum(labels == 1))]]
    three = class_report(np.eye(3), np.array([0, 1, 2]), ("a", "b", "c"))
    assert three.by_probability is None


def test_the_best_threshold_lies_between_the_rows_and_near_a_half() -> None:
    assert best_threshold(two([0.1, 0.2, 0.3, 0.45]), np.array([0, 0, 1, 1])) == pytest.approx(0.25)
    assert best_threshold(two([0.1, 0.9]), np.array([0, 1])) == 0.5
    assert best_threshold(two([0.1, 0.9]), np.array([1, 1])) == 0.5


def test_the_best_threshold_is_the_one_that_a_search_finds() -> None:
    generator = np.random.default_rng(3)
    for _ in range(50):
        second, labels = generator.integers(0, 12, 30) / 11, generator.integers(0, 2, 30)
        values = np.unique(second)
        candidates = [0.5, *((values[1:] + values[:-1]) / 2)]
        f1 = [2 * np.sum((second >= c) & (labels == 1)) / (np.sum(second >= c) + np.sum(labels)) for c in candidates]
        best = max(zip(f1, [-abs(c - 0.5) for c in candidates], candidates, strict=True))[2]
        assert best_threshold(two(list(second)), labels) == pytest.approx(best)


def test_the_best_threshold_of_many_rows_takes_no_search_for_each() -> None:
    """100,000 rows took half a minute when each threshold was tried on all of them."""
    second = np.linspace(0, 1, 300_000)
    assert best_threshold(np.stack([1 - second, second], 1), (second > 0.3).astype(np.int64)) == pytest.approx(
        0.3, abs=1e-5
    )


def test_a_class_that_is_never_told_has_no_precision() -> None:
    report = class_report(np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1]]), np.array([0, 1]), ("a", "b", "c"))
    assert (report.classes[2].precision, report.classes[2].recall, report.classes[2].f1) == (None, None, None)
    assert report.macro_f1 == 1.0


def test_calibration() -> None:
    """Ten verdicts of 0.75, of which six are right: 0.15 apart."""
    probabilities = two([0.75] * 10)
    report = class_report(probabilities, np.array([1] * 6 + [0] * 4), HAM_SPAM)
    assert report.calibration_error == pytest.approx(0.15)
    assert len(report.calibration) == BINS
    (filled,) = [each for each in report.calibration if each.rows]
    assert (filled.low, filled.rows, filled.confidence, filled.accuracy) == (0.7, 10, 0.75, 0.6)


def test_certain_verdicts_have_a_bin_and_the_worst_are_few() -> None:
    report = class_report(two([1.0] * 50), np.zeros(50, dtype=np.int64), HAM_SPAM)
    assert report.calibration[-1].rows == 50
    assert len(report.worst) == WORST


@pytest.mark.parametrize("labels", [[], [2], [-1]])
def test_labels_that_are_no_class(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="among the classes"):
        class_report(two([0.5] * len(labels)).reshape(-1, 2), np.array(labels, dtype=np.int64), HAM_SPAM)


@pytest.mark.parity
def test_equal_to_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(3)
    logits = random.normal(size=(400, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = random.integers(0, 4, 400)
    report = class_report(probabilities, labels, ("a", "b", "c", "d"))
    told = verdicts(probabilities)
    precision, recall, f1, rows = metrics.precision_recall_fscore_support(labels, told)
    assert report.confusion == metrics.confusion_matrix(labels, told).tolist()
    for number, score in enumerate(report.classes):
        assert (score.precision, score.recall, score.f1) == pytest.approx(
            (precision[number], recall[number], f1[number])
        )
        assert score.rows == rows[number]
    assert report.macro_f1 == pytest.approx(metrics.f1_score(labels, told, average="macro"))
