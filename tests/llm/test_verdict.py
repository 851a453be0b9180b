"""What a classifier says of texts, and the shares of their tokens, against the same by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from app.llm.config import PRESETS, ClassifierConfig, ModelConfig, Reads
from app.llm.model.classifier import Classifier
from app.llm.model.transformer import Transformer
from app.llm.verdict import AT_ONCE, probabilities, shares

VOCABULARY, PAD = 50, 0


def classifier(preset: str, reads: Reads, classes: int = 2) -> tuple[Classifier, ClassifierConfig]:
    body = ModelConfig(**{**PRESETS[preset], "vocab_size": VOCABULARY, "context_length": 16})
    torch.manual_seed(3)
    model = Classifier(Transformer(body), classes).eval()
    names = tuple(f"class {number}" for number in range(classes))
    return model.requires_grad_(False), ClassifierConfig(body, names, reads, 12, PAD)


def texts(count: int) -> list[list[int]]:
    random = np.random.default_rng(1)
    return [random.integers(1, VOCABULARY, random.integers(1, 16)).tolist() for _ in range(count)]


@pytest.mark.parametrize("reads", ["last_token", "last_place", "first_token"])
def test_each_text_gets_what_it_gets_alone(reads: Reads) -> None:
    model, shape = classifier("gpt-tiny", reads)
    asked = texts(AT_ONCE + 5)
    found = {
        number: row
        for numbers, rows in probabilities(model, shape, asked)
        for number, row in zip(numbers, rows, strict=False)
    }
    assert sorted(found) == list(range(len(asked)))
    for number, ids in enumerate(asked):
        read = ids[:12]
        filled = read + [PAD] * (12 - len(read)) if reads == "last_place" else read
        place = None if reads != "first_token" else torch.tensor([0])
        with torch.no_grad():
            expected = model(torch.tensor([filled]), place).double().softmax(-1)[0].numpy()
        assert found[number] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny"])
@pytest.mark.parametrize("classes", [2, 3])
def test_shares_are_the_gradient_by_each_embedding_times_it(preset: str, classes: int) -> None:
    """Held against numeric derivatives: what the margin gains as a token's vector grows by a little."""
    model, shape = classifier(preset, "last_token", classes)
    model.double()
    ids = [7, 8, 9, 30]

    def margin(scales: torch.Tensor) -> float:
        vectors = model.body.token_embedding(torch.tensor([ids])) * scales[None, :, None]
        logits = model.classes_of(model.body.hidden_of(vectors))[0]
        return float(logits[1] - (logits.sum() - logits[1]) / (classes - 1))

    step = 1e-6
    grown = [torch.ones(4, dtype=torch.float64) + step * torch.eye(4, dtype=torch.float64)[n] for n in range(4)]
    shrunk = [torch.ones(4, dtype=torch.float64) - step * torch.eye(4, dtype=torch.float64)[n] for n in range(4)]
    by_hand = np.array([(margin(up) - margin(down)) / (2 * step) for up, down in zip(grown, shrunk, strict=True)])
    found = shares(model, shape, ids, told=1)
    assert found.tokens == pytest.approx(by_hand / np.abs(by_hand).sum(), abs=1e-5)
    assert found.padding == 0
    assert sum(map(abs, found.tokens)) == pytest.approx(1)


def test_what_fills_a_text_up_has_its_share_where_it_is_read() -> None:
    model, shape = classifier("gpt-tiny", "last_place")
    found = shares(model, shape, [7, 8, 9], told=0)
    assert len(found.tokens) == 3
    assert found.padding != 0
    assert len(shares(model, shape, list(range(1, 16)), told=0).tokens) == 12
