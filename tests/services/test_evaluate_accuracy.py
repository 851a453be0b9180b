"""Classifiers on rows whose labels are known: the report that their probabilities make, whichever rows come first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
import torch

from app.llm.class_report import class_report
from app.llm.model.classifier import Classifier
from tests.evaluated import House, house_on, settings_in

TEXTS = ["The clock is on the wall.", "Mira came.", "The tide turns.", "The boat is here.", "Mira and the tide."]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_on(settings_in(tmp_path_factory.mktemp("house"))) as made:
        yield made


def chances(house: House, network: Classifier) -> np.ndarray:
    with torch.inference_mode():
        found = [network(torch.tensor([house.tokenizer.encode(text)])).double().softmax(-1)[0] for text in TEXTS]
    return torch.stack(found).numpy()


@pytest.mark.parametrize(
    ("classes", "threshold"), [(("ham", "spam"), None), (("ham", "spam"), 0.9), (("ham", "other", "spam"), None)]
)
def test_the_report_is_that_of_the_probabilities(
    house: House, classes: tuple[str, ...], threshold: float | None
) -> None:
    name = f"filter-{len(classes)}-{threshold is not None}"
    network = house.add_classifier(name, classes, threshold)
    labels = [number % len(classes) for number in range(len(TEXTS))]
    rows = [{"text": text, "label": classes[label]} for text, label in zip(TEXTS, labels, strict=True)]
    job_id = house.done({"kind": "accuracy"}, model=name, dataset=house.add_rows(rows))
    (told,) = house.report(job_id)
    wanted = asdict(class_report(chances(house, network), np.array(labels), classes, threshold))
    for figure in ("rows", "accuracy", "macro_f1", "confusion", "classes"):
        assert told[figure] == wanted[figure], figure
    assert told["calibration_error"] == pytest.approx(wanted["calibration_error"], abs=1e-6)
    assert [(each["line"], each["label"], each["told"]) for each in told["worst"]] == [
        (each["row"] + 1, each["label"], each["told"]) for each in wanted["worst"]
    ]
    assert [row["models"][0]["prompt"] for row in house.results(job_id)] == TEXTS


def test_a_label_that_is_no_class_is_told_with_its_line(house: House) -> None:
    house.add_classifier("filter", ("ham", "spam"))
    dataset = house.add_rows([{"text": "a", "label": "ham"}, {"text": "b", "label": "eggs"}])
    error = house.ask({"kind": "accuracy"}, model="filter", dataset=dataset).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "dataset")
    assert "line 2: the label 'eggs' is none of filter's: ham, spam" in error["message"]
